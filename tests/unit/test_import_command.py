"""``netledger import``: each period once, whatever is done to the files in between."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.ledger.imported import one_at_a_time
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.reports.zones import find
from tests.unit import imports
from tests.unit.booked import Booked, book
from tests.unit.old_files import ONE, SIX, content, write, write_spans
from tests.unit.rows import batch, row
from tests.unit.store import opened
from tests.unit.test_cli_main import netledger
from tests.unit.test_import_clock import steps

DAY = ("--period", "2026-11-20", "--timezone", "UTC")
TEN_HOURS = ("2026-11-20T00:00:00", "2026-11-20T10:00:00")
A, B, C = "2026-11-20 14:34:04", "2026-11-20 14:35:00", "2026-11-20 14:40:00"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Two periods."""
    write(tmp_path / "old", A, B, [ONE, SIX])
    write(tmp_path / "old", B, C, [("10.9.0.2", 100, 1, 0, 0), ("other", 7, 1, 0, 0)])
    return tmp_path / "old"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def imported(store: Path, *words: object, status: int = 0) -> dict[str, object]:
    return imports.imported(store, *words, "--meter", "old", status=status)


def numbers(told: dict[str, object]) -> tuple[object, object, int]:
    return imports.counted(told, "booked", "known")


def receipts(store: Path) -> list[dict[str, object]]:
    return [json.loads(one.receipt) for one in Reader(store).snapshot().intervals]


def test_periods_become_intervals_that_report_and_audit_show(old: Path, store: Path) -> None:
    told = imported(store, "go-nflog-acctd", old)
    assert numbers(told) == (2, 0, 0)
    assert (told["rows"], told["packets"], told["bytes"]) == (4, 27, 4447)
    assert told["period"] == {"start": "2026-11-20T14:34:04Z", "end": "2026-11-20T14:40:00Z"}
    report = json.loads(netledger("report", "--store", store, *DAY, "--json").stdout)
    assert [tuple(one.values()) for one in report["rows"]] == [
        ("host", "10.9.0.2", 1696, 8, 1280, 10), ("host", "fd09::", 924, 3, 540, 5), ("other", None, 7, 1, 0, 0),
    ]  # fmt: skip
    assert report["balance"]["unproven"] == 2
    assert report["notes"] == ["bytes of IPv6 without the IP header, as an imported program has counted them: old"]
    audit = netledger("audit", "--store", store, "--verify")
    assert (audit.returncode, audit.stderr) == (0, "")
    assert "old on gw1: 2 intervals, all unproven" in audit.stdout


def test_people_are_told_what_was_done(old: Path, store: Path) -> None:
    arguments = ("import", old, "--store", store, "--timezone", "UTC", "--node", "gw1")
    done = netledger(*arguments)
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (
        0,
        "",
        [
            "booked      2 periods of 2 files for go-nflog-acctd on gw1, 2026-11-20 14:34:04 +00:00 to "
            "2026-11-20 14:40 +00:00",
            "rows        4",
            "accounted   27 packets, 4,447 bytes; unproven: there is no count to compare with",
            "ipv6        bytes of IPv6 without the IP header (40 a packet), and their receipts say so",
        ],
    )
    assert netledger(*arguments).stdout.splitlines() == [
        "booked      0 periods of 0 files for go-nflog-acctd on gw1",
        "known       2 periods that the ledger has already",
    ]


def test_the_receipt_says_where_it_comes_from(old: Path, store: Path) -> None:
    imported(store, old)
    first, second = receipts(store)
    path = old / "2026-11-20-143404_2026-11-20-143500.csv"
    assert (first["status"], first["source"], first["seq"]) == ("unproven", "go-nflog-acctd", 1)
    assert first["reason"] == f"imported from {path}, lines 2 to 3"
    assert first["meaning"] == "merged super-packets; bytes of IPv6 without the IP header (40 a packet)"
    assert second["meaning"] == "merged super-packets"
    assert (second["other_packets"], second["other_bytes"]) == (1, 7)
    told = first["import"]
    assert isinstance(told, dict)
    assert told["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {name: told[name] for name in ("kind", "file", "first_line", "last_line", "start", "end", "timezone")} == {
        "kind": "go-nflog-acctd", "file": str(path), "first_line": 2, "last_line": 3, "start": A, "end": B,
        "timezone": "UTC",
    }  # fmt: skip


def test_the_same_is_never_booked_twice(old: Path, store: Path, tmp_path: Path) -> None:
    assert numbers(imported(store, old)) == (2, 0, 0)
    assert numbers(imported(store, old)) == (0, 2, 0)
    # In another directory, in another order, under another name, put together with others.
    write(tmp_path / "other", A, B, [SIX, ONE])
    assert numbers(imported(store, tmp_path / "other")) == (0, 1, 0)
    (tmp_path / "renamed.csv").write_bytes(content(A, [ONE, SIX]))
    assert numbers(imported(store, tmp_path / "renamed.csv")) == (0, 1, 0)
    (tmp_path / "all.csv").write_bytes(b"".join(path.read_bytes() for path in sorted(old.iterdir())))
    assert numbers(imported(store, tmp_path / "all.csv")) == (0, 2, 0)
    assert len(receipts(store)) == 2


def test_a_copy_beside_the_file_is_not_booked_either(old: Path, store: Path) -> None:
    (old / "0.csv").write_bytes(content(A, [ONE, SIX]))
    write(old, A, B, [ONE, SIX], ordinal=1)
    assert numbers(imported(store, old, old)) == (2, 2, 0)


def test_a_file_that_grew_brings_what_is_new(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes(content(A))
    assert numbers(imported(store, path, "--interval", "1m")) == (1, 0, 0)
    path.write_bytes(content(A) + content(B))
    assert numbers(imported(store, path, "--interval", "1m")) == (1, 1, 0)
    # A period that grew is one that was changed.
    path.write_bytes(content(A) + content(B, [ONE, SIX]) + content(C))
    told = imported(store, path, "--interval", "1m", status=1)
    assert numbers(told)[::2] == (0, 1)


def test_a_file_that_was_changed_is_refused_and_the_others_are_not(old: Path, store: Path) -> None:
    imported(store, old)
    path = write(old, B, C, [ONE])
    write(old, C, "2026-11-20 14:45:00")
    told = imported(store, old, status=1)
    assert numbers(told) == (1, 1, 1)
    assert told["refused"] == [
        {
            "place": f"{path}:2",
            "why": f"the period that begins at {B} was imported with other content, from {path}",
            "hint": "was the file changed since? what another machine or program counted goes to another --node or "
            "--meter",
        }
    ]
    assert [one["seq"] for one in receipts(store)] == [1, 2, 3]


def test_of_a_file_with_a_mistake_nothing_is_imported(store: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "old", B, C)
    bad = write(tmp_path / "old", A, B)
    bad.write_bytes(content(A, [SIX, ("nobody", 1, 1, 0, 0)]))
    done = netledger("import", tmp_path / "old", "--store", store, "--timezone", "UTC")
    assert done.returncode == 1
    assert done.stderr == f'{bad}:3: "nobody" is no address\n'
    assert done.stdout.splitlines()[-1] == "refused     1 file; nothing of them is imported"
    assert [one["import"]["file"] for one in receipts(store)] == [str(good)]  # type: ignore[index]  # it is JSON


def test_a_dry_run_changes_nothing(old: Path, store: Path) -> None:
    told = imported(store, old, "--dry-run")
    assert (numbers(told), told["dry_run"]) == ((2, 0, 0), True)
    assert not store.exists()


def test_the_double_hour_is_booked_whole_and_said(tmp_path: Path, store: Path) -> None:
    spans = steps("2026-10-24T22:00:00", "2026-10-25T03:00:00", 60)
    (tmp_path / "old").mkdir()
    write_spans(tmp_path / "old", find("Europe/Berlin"), spans)
    done = netledger("import", tmp_path / "old", "--store", store, "--timezone", "Europe/Berlin")
    assert done.returncode == 0
    assert "shown twice 2026-10-25-020000_2026-10-25-020000.csv: by the order of the files its start is" in done.stdout
    audit = json.loads(netledger("audit", "--store", store, "--json").stdout)
    (coverage,) = audit["coverage"]
    assert (coverage["seconds"], coverage["covered_seconds"], coverage["overlaps"]) == (5 * 3600, 5 * 3600, [])
    again = netledger("import", tmp_path / "old", "--store", store, "--timezone", "Europe/Berlin", "--json")
    assert numbers(json.loads(again.stdout)) == (0, 5, 0)


def test_equal_traffic_in_both_hours_is_booked_twice(tmp_path: Path, store: Path) -> None:
    for ordinal in (0, 1):
        write(tmp_path / "old", "2026-10-25 02:10:00", "2026-10-25 02:15:00", ordinal=ordinal)
    arguments = ("import", tmp_path / "old", "--store", store, "--timezone", "Europe/Berlin", "--json")
    assert numbers(json.loads(netledger(*arguments).stdout)) == (2, 0, 0)
    assert numbers(json.loads(netledger(*arguments).stdout)) == (0, 2, 0)
    starts = [one["interval_start"] for one in receipts(store)]
    assert starts == ["2026-10-25T00:10:00Z", "2026-10-25T01:10:00Z"]


@pytest.mark.parametrize(
    ("mode", "octets", "meaning"),
    [
        ("without-header", 924, "; bytes of IPv6 without the IP header (40 a packet)"),
        ("add-header", 1044, "; bytes of IPv6 with 40 a packet added for the IP header"),
        ("with-header", 924, ""),
    ],
)
def test_bytes_of_ipv6_are_what_was_asked_for(old: Path, store: Path, mode: str, octets: int, meaning: str) -> None:
    imported(store, old, "--ipv6-bytes", mode)
    assert receipts(store)[0]["meaning"] == f"merged super-packets{meaning}"
    arguments = ("--where", "host=fd09::/64", "--by", "", "--json")
    (total,) = json.loads(netledger("report", "--store", store, *DAY, *arguments).stdout)["rows"]
    assert (total["sent_bytes"], total["sent_packets"]) == (octets, 3)


def test_a_meter_that_counts_here_is_not_mixed_with(old: Path, store: Path, tmp_path: Path) -> None:
    talk = [row("host", host="10.0.0.1", sent=(100, 1)), row("external", received=(100, 1))]
    book(store, [Booked("2026-11-20T10:00:00Z", talk, meter="old")])
    done = netledger("import", old, "--store", store, "--node", "gw1", "--meter", "old")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--meter old: the ledger has 1 interval of it that was counted here" in done.stderr
    config = tmp_path / "netledger.toml"
    config.write_text(f'node = "gw1"\nstore = "{tmp_path}/new"\n[meters.lan]\n')
    done = netledger("import", old, "--config", config, "--meter", "lan")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--meter lan: the configuration has a meter of that name" in done.stderr


def test_it_goes_beside_a_writer_that_is_at_work(old: Path, store: Path) -> None:
    booked = Booked("2026-11-20T10:00:00Z", [row("host", host="10.0.0.1", sent=(100, 1), received=(100, 1))])
    with opened(store) as ledger:
        ledger.commit(booked.receipt(1), batch(booked.rows))
        assert numbers(imported(store, old)) == (2, 0, 0)
        ledger.commit(booked.receipt(2), batch(booked.rows))
    assert verify(Reader(store)) == []
    assert len(Reader(store).snapshot().intervals) == 4


def test_two_imports_at_once_are_one_too_many(old: Path, store: Path) -> None:
    with one_at_a_time(store):
        done = netledger("import", old, "--store", store)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"netledger: {store}: import: another import runs\nhint: wait for it\n"


def test_an_import_that_was_killed_is_simply_repeated(store: Path, tmp_path: Path) -> None:
    write_spans(tmp_path, find("UTC"), steps(*TEN_HOURS, 5))
    code = (
        "import os, signal, sys\n"
        "from netledger.ledger.store import Ledger\n"
        "commit, done = Ledger.commit, []\n"
        "def dying(self, *words, **more):\n"
        "    if len(done) == 17: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(1)\n"
        "    return commit(self, *words, **more)\n"
        "Ledger.commit = dying\n"
        "from netledger.cli.main import main\n"
        "main()\n"
    )
    words = ["import", str(tmp_path), "--store", str(store), "--timezone", "UTC", "--node", "gw1", "--meter", "old"]
    assert subprocess.run([sys.executable, "-c", code, *words], check=False).returncode == -9
    assert len(receipts(store)) == 17
    assert numbers(imported(store, tmp_path)) == (103, 17, 0)
    intervals = Reader(store).snapshot().intervals
    assert [one.seq for one in intervals] == list(range(1, 121))
    assert [one.start_ns for one in intervals] == [one.start_ns for one in steps(*TEN_HOURS, 5)]
    assert sum(one.accounted.bytes for one in intervals) == sum(range(1, 121))
    assert verify(Reader(store)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ipv6-bytes", "some"], "netledger: --ipv6-bytes some: not possible here\nhint: there are without-header,"),
        (["--meter", ""], "netledger: --meter '': no name\nhint: 1 to 64 characters"),
        (["--node", "a\nb"], "netledger: --node 'a\\nb': no name"),
        (["--timezone", "Europe/Nowhere"], "netledger: --timezone Europe/Nowhere: no such time zone"),
        (["--interval", "7m"], "netledger: --interval: 7 minutes do not divide a day"),
    ],
)
def test_what_is_asked_wrongly_is_refused(old: Path, store: Path, options: list[str], message: str) -> None:
    done = netledger("import", old, "--store", store, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert not store.exists()
