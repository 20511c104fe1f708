"""``netledger report``: what it prints, where, and with which exit code."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import termios
from collections import Counter
from pathlib import Path

import pytest
from pyarrow import parquet

from netledger.receipt import Count
from tests.unit.booked import Booked, book
from tests.unit.rows import row
from tests.unit.test_cli_main import netledger

HOUR = "2026-11-20T10:00Z..2026-11-20T10:05Z"
LABEL = 'a "label", with\nthings, in it ü'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [
        row("host", host="10.0.0.1", sent=(1_234_567, 1000), received=(2000, 20), protocol=6, label=LABEL),
        row("host", host="2001:db8:1::", sent=(70, 1), received=(5_000_000_000, 4_000_000), protocol=41),
        row("external", sent=(5_000_002_000, 4_000_020), received=(1_234_637, 1001)),
    ]
    return book(
        tmp_path_factory.mktemp("command") / "store",
        [
            Booked("2026-11-20T10:00:00Z", lines),
            Booked("2026-11-20T10:05:00Z", lines, lost=Count(3, 120), why_lost="the buffer was full"),
        ],
    )


@pytest.fixture(scope="module")
def config(store: Path) -> Path:
    path = store.parent / "netledger.toml"
    path.write_text(f'store = "{store}"\n[meters.lan]\nprefix_length = {{ipv6 = 48}}\n')
    return path


def test_the_table_has_a_total_the_balance_and_the_period(config: Path) -> None:
    done = netledger("report", "--config", config, "--period", HOUR, "--timezone", "Europe/Berlin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "account   host             sent bytes  sent packets  received bytes  received packets",
        "external                     5.000 GB     4,000,020        1.235 MB             1,001",
        "host      2001:db8:1::/48        70 B             1        5.000 GB         4,000,000",
        "host      10.0.0.1           1.235 MB         1,000        2.000 KB                20",
        "total                        5.001 GB     4,001,021        5.001 GB         4,001,021",
        "",
        "period: 2026-11-20 11:00 +01:00 to 2026-11-20 11:05 +01:00, Europe/Berlin",
        "balance: 1 interval, exact; kernel 4,001,021 packets, 5,001,236,637 bytes = accounted",
    ]


def test_a_lossy_interval_is_told_beneath_the_table_and_by_the_exit_code(config: Path) -> None:
    done = netledger(
        "report",
        "--config",
        config,
        "--period",
        "2026-11-20T10:05Z..2026-11-20T10:10Z",
        "--timezone",
        "UTC",
        "--top",
        "1",
    )
    assert done.returncode == 3
    assert "shown: 1 of 4 rows (--top N shows more); the total is of all\n" in done.stdout
    assert (
        "not proven or complete: lossy: lan on gw1, 2026-11-20 10:05 +00:00 to 2026-11-20 10:10 +00:00 (5 min), "
        "lost 3 packets, 120 bytes: the buffer was full\n"
    ) in done.stdout


def test_units_and_protocols_are_for_people(config: Path) -> None:
    done = netledger(
        "report", "--config", config, "--period", HOUR, "--by", "protocol", "--where", "account=host",
        "--unit", "kib", "--sort", "protocol", "--direction", "sent",
    )  # fmt: skip
    assert done.stdout.splitlines()[:4] == [
        "protocol   sent KiB  sent packets",
        "     tcp  1,205.632         1,000",
        "    ipv6      0.068             1",
        "   total  1,205.700         1,001",
    ]


def test_json_has_whole_numbers_times_in_utc_and_the_balance(config: Path) -> None:
    done = netledger(
        "report", "--config", config, "--period", "2026-11-20", "--timezone", "UTC", "--json", "--per", "hour",
        "--by", "account,host,label", "--where", "host=10.0.0.0/8",
    )  # fmt: skip
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert told["period"] == {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}
    assert told["balance"] == {
        "intervals": 2, "exact": 1, "lossy": 1, "unproven": 0, "interrupted": 0,
        "kernel_packets": 8_002_045, "kernel_bytes": 10_002_473_394,
        "accounted_packets": 8_002_042, "accounted_bytes": 10_002_473_274, "lost_packets": 3, "lost_bytes": 120,
    }  # fmt: skip
    assert told["rows"] == [
        {
            "interval_start": "2026-11-20T10:00:00Z", "interval_end": "2026-11-20T11:00:00Z",
            "account": "host", "host": "10.0.0.1", "label": LABEL,
            "sent_bytes": 2_469_134, "sent_packets": 2000, "received_bytes": 4000, "received_packets": 40,
        }
    ]  # fmt: skip
    assert told["total"]["sent_packets"] == 2000
    assert len(told["doubts"]) == 3
    assert [f"netledger: not proven or complete: {one}" for one in told["doubts"]] == done.stderr.splitlines()


def test_csv_is_read_back_by_others(config: Path) -> None:
    done = netledger("report", "--config", config, "--period", HOUR, "--csv", "--by", "host,label,protocol")
    assert (done.returncode, done.stderr) == (0, "")
    lines = list(csv.reader(io.StringIO(done.stdout)))
    assert lines == [
        ["host", "label", "protocol", "sent_bytes", "sent_packets", "received_bytes", "received_packets"],
        ["", "", "", "5000002000", "4000020", "1234637", "1001"],
        ["2001:db8:1::/48", "", "41", "70", "1", "5000000000", "4000000"],
        ["10.0.0.1", LABEL, "6", "1234567", "1000", "2000", "20"],
    ]


def test_parquet_has_types_and_the_balance_in_its_metadata(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.parquet"
    done = netledger(
        "report", "--config", config, "--period", HOUR, "--parquet", file, "--by", "interval_start,host,protocol"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = parquet.read_table(file)
    assert [str(kind) for kind in table.schema.types] == [
        "timestamp[ns, tz=UTC]", "timestamp[ns, tz=UTC]", "string", "uint8", "uint64", "uint64", "uint64", "uint64",
    ]  # fmt: skip
    assert table.column("host").to_pylist() == [None, "2001:db8:1::/48", "10.0.0.1"]
    assert json.loads(table.schema.metadata[b"netledger"])["balance"]["exact"] == 1


def test_a_slip_in_the_name_of_a_file_makes_no_directories(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "slip" / "report.parquet"
    done = netledger("report", "--config", config, "--period", HOUR, "--parquet", file)
    assert (done.returncode, done.stderr) == (
        1,
        f"netledger: {file}: write: no such directory\nhint: mkdir -p {file.parent}\n",
    )
    assert not file.parent.exists()


def test_two_meters_are_told_apart_unless_columns_are_named(tmp_path: Path) -> None:
    lines = [row("host", host="10.0.0.1", sent=(1, 1), received=(1, 1))]
    both = [Booked("2026-11-20T10:00:00Z", lines, meter=meter) for meter in ("wan", "lan")]
    store = book(tmp_path / "store", both)
    config = tmp_path / "netledger.toml"
    config.write_text(f'store = "{store}"\n')
    done = netledger("report", "--config", config, "--period", HOUR, "--csv")
    assert done.stdout.splitlines() == [
        "meter,account,host,sent_bytes,sent_packets,received_bytes,received_packets",
        "lan,host,10.0.0.1,1,1,1,1",
        "wan,host,10.0.0.1,1,1,1,1",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--period", "someday"], "netledger: --period someday: not a period\nhint: write it as today"),
        (["--billing-day", "32"], "netledger: --billing-day 32: not a day of a month\nhint: 1 to 31"),
        (["--timezone", "Mars"], "netledger: --timezone Mars: no such time zone"),
        (["--per", "minute"], "netledger: --per minute: not possible here\nhint: there are hour, day"),
        (["--unit", "bits"], "netledger: --unit bits: not possible here\nhint: there are auto, B, KB"),
        (["--where", "hots=1"], "netledger: --where hots=1: no such word: hots"),
        (["--csv", "--json"], "netledger: --csv, --json, --parquet: only one of them at a time"),
        (["--meter", "flows"], "netledger: --meter: no such option\nhint: --where meter=flows\n"),
        (["--by", "subjects"], "netledger: --by subjects: no such column"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_a_hint(config: Path, arguments: list[str], message: str) -> None:
    done = netledger("report", "--config", config, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_the_hint_for_a_meter_works(config: Path) -> None:
    told = [
        netledger("report", "--config", config, "--period", HOUR, "--csv", "--where", f"meter={meter}").stdout
        for meter in ("lan", "flows")
    ]
    assert [len(text.splitlines()) > 1 for text in told] == [True, False]


def test_without_a_store_it_fails(tmp_path: Path) -> None:
    config = tmp_path / "netledger.toml"
    config.write_text("")
    done = netledger("report", "--config", config, "--store", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no ledger" in done.stderr


def test_a_terminal_that_is_too_narrow_folds_and_cuts_nothing_off(config: Path) -> None:
    controller, terminal = pty.openpty()
    try:
        termios.tcsetwinsize(terminal, (24, 40))
        arguments = [sys.executable, "-m", "netledger", "report", "--config", str(config), "--period", HOUR]
        environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"}
        environment.pop("COLUMNS", None)
        done = subprocess.run(arguments, stdout=terminal, env=environment, check=False)
        shown = os.read(controller, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert done.returncode == 0
    table, beneath = shown.split("\r\n\r\n")
    assert max(map(len, shown.splitlines())) <= 40
    assert "balance: 1 interval, exact; kernel\r\n         4,001,021 packets,\r\n" in beneath
    whole = netledger(*arguments[3:]).stdout.split("\n\n")[0]
    assert Counter("".join(table.split())) == Counter("".join(whole.split()))
