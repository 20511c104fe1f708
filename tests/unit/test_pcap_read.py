"""``netledger read``: what its options do, what it refuses, and what programs get from it."""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from pyarrow import parquet
from typer.testing import CliRunner, Result

from netledger.cli import read as read_module
from netledger.cli.read import read
from netledger.config import ConfigError, loads
from netledger.errors import UsageError
from netledger.receipt import parse_rfc3339
from netledger.reports.rows import arrange
from netledger.sources.base import Key
from netledger.sources.pcap import PcapConfig, PcapSource, Progress
from tests.golden.writer import RAW, UDP, Record, ip, pcap, udp

CAPTURES = Path(__file__).parents[1] / "golden" / "captures"
MIXED = str(CAPTURES / "mixed.pcap")


def run(*arguments: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(read)
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def program(*arguments: str, standard_input: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """The whole command in a process of its own."""
    command = [sys.executable, "-m", "netledger", "read", *arguments]
    return subprocess.run(command, input=standard_input, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--csv", "--json"), "--csv, --json, --parquet: only one of them at a time"),
        (("--csv", "--parquet", "x"), "--csv, --json, --parquet: only one of them at a time"),
        (("--interval", "5"), '--interval: "5" is no duration'),
        (("--interval", "0s"), '--interval: "0s" is no duration'),
        (("--interval", "7m"), "--interval: 7 minutes do not divide a day"),
        (("--interval", "32d"), "--interval: 32 days are too long"),
        (("--sort", "peer"), "--sort peer: not among the columns; there are bytes, packets"),
        (("--key", "host,label"), "key label: a capture has none"),
        (("--local", "lan"), '--local: "lan" is no network'),
        (("--local", "10.0.0.0/8", "--local", "10.0.0.1/8"), '--local: "10.0.0.1/8" has host bits set'),
        (("--local", "10.0.0.0/8", "--local", "10.0.0.0/8"), '--local: "10.0.0.0/8" stands twice'),
    ],
)
def test_what_cannot_be_is_refused_before_the_capture_is_read(arguments: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        run("no-such-file", *arguments)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "arguments", [("--rows-max", "0"), ("--top", "0"), ("--prefix-length-ipv4", "33"), ("--prefix-length-ipv6", "129")]
)
def test_numbers_out_of_range_are_refused(arguments: Sequence[str]) -> None:
    assert run(MIXED, *arguments).exit_code == 2


def test_parquet_has_the_same_rows_and_the_balance(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    result = run(MIXED, "--parquet", str(path), "--interval", "5m", "--key", "host,protocol,host_port")
    assert result.exit_code == 0
    assert result.stdout == ""
    printed = json.loads(run(MIXED, "--json", "--interval", "5m", "--key", "host,protocol,host_port").stdout)
    table = parquet.read_table(path)
    assert table.schema.field("interval_start").type == pa.timestamp("ns", "UTC")
    assert table.schema.field("host_port").type == pa.uint16()
    written = [
        {**row, **{name: row[name].strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("interval_start", "interval_end")}}
        for row in table.to_pylist()
    ]
    assert written == printed.pop("rows")
    assert json.loads(table.schema.metadata[b"netledger"]) == printed


def test_json_is_one_object_with_period_balance_and_rows() -> None:
    printed = json.loads(run(MIXED, "--json").stdout)
    assert list(printed) == ["period", "balance", "capture", "rows"]
    assert printed["period"] == {"start": "2025-11-20T10:00:00Z", "end": "2025-11-20T10:06:40.000000001Z"}
    balance = printed["balance"]
    assert (balance["intervals"], balance["unproven"], balance["kernel_packets"]) == (1, 1, None)
    for side in ("sent", "received"):
        assert sum(row[f"{side}_bytes"] for row in printed["rows"]) == balance["accounted_bytes"]
        assert sum(row[f"{side}_packets"] for row in printed["rows"]) == balance["accounted_packets"]


def test_an_empty_capture_is_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(pcap([]))
    header = "account,host,sent_bytes,sent_packets,received_bytes,received_packets\n"
    assert run(str(path), "--csv").stdout == header
    printed = json.loads(run(str(path), "--json", "--interval", "1m").stdout)
    assert printed["rows"] == []
    assert printed["period"] == {"start": None, "end": None}
    assert run(str(path)).stdout.splitlines()[-2] == "total: 0 packets, 0 bytes"


def test_the_table_shows_a_hundred_rows_and_says_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    packets = [ip(f"10.0.{n // 200}.{n % 200}", "10.9.9.9", UDP, udp(1, 2, n)) for n in range(300)]
    path.write_bytes(pcap([Record(n, packet) for n, packet in enumerate(packets)], link=RAW))
    lines = run(str(path)).stdout.splitlines()
    assert lines[101:104] == ["", "shown: 100 of 301 rows (--top N shows more)", lines[103]]
    assert lines[1].startswith("10.9.9.9")
    fewer = run(str(path), "--top", "3").stdout.splitlines()
    assert fewer[4:6] == ["", "shown: 3 of 301 rows (a greater --top shows more)"]
    assert len(run(str(path), "--csv").stdout.splitlines()) == 302
    assert len(run(str(path), "--top", "301").stdout.splitlines()) == 302 + 3


def test_top_counts_in_each_interval() -> None:
    printed = json.loads(run(MIXED, "--json", "--interval", "5m", "--top", "1").stdout)
    assert [row["interval_start"] for row in printed["rows"]] == ["2025-11-20T10:00:00Z", "2025-11-20T10:05:00Z"]
    assert printed["capture"]["rows_left_out"] == 7


@pytest.mark.parametrize("sort", ["host", "sent_bytes", "received_packets", "packets", "bytes"])
def test_rows_are_in_the_order_asked_for(sort: str) -> None:
    capture = PcapSource(PcapConfig(path=MIXED, key=Key(ipv6_prefix_length=128))).read(lambda _progress: None)
    rows = arrange(pa.table(pa.record_batch(capture.rows)), capture.config.key, interval_ns=0, sort=sort, top=None)
    found = rows.table.to_pylist()
    if sort == "host":
        assert [row["host"] for row in found] == sorted(row["host"] for row in found)
    else:
        names = [sort] if "_" in sort else [f"sent_{sort}", f"received_{sort}"]
        values = [sum(row[name] for name in names) for row in found]
        assert values == sorted(values, reverse=True)
    assert len(found) == 8


def test_a_pipe_is_read() -> None:
    from_pipe = program("-", "--csv", standard_input=Path(MIXED).read_bytes())
    assert from_pipe.returncode == 0
    assert from_pipe.stdout == run(MIXED, "--csv").stdout_bytes


def test_a_capture_that_is_none_fails_with_code_1(tmp_path: Path) -> None:
    path = tmp_path / "text"
    shutil.copy(__file__, path)
    failed = program(str(path))
    assert failed.returncode == 1
    assert failed.stdout == b""
    assert (
        failed.stderr.decode() == f"netledger: {path}: read: not a pcap or pcapng capture (starts with 22 22 22 60)\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "cause", "hint"),
    [
        ("--interval", "7m", "7 minutes do not divide a day", '"6m" or "8m" would'),
        ("--local", "10.0.0.1/8", '"10.0.0.1/8" has host bits set', 'the network is "10.0.0.0/8"'),
    ],
)
def test_a_wrong_option_fails_with_code_2_and_the_words_of_the_configuration(
    option: str, value: str, cause: str, hint: str
) -> None:
    failed = program(MIXED, option, value)
    assert failed.returncode == 2
    assert failed.stderr.decode().splitlines() == [f"netledger: {option}: {cause}", f"hint: {hint}"]
    key = f'interval = "{value}"' if option == "--interval" else f'[meters.a]\nlocal = ["{value}"]'
    with pytest.raises(ConfigError) as refused:
        loads(key, file="f")
    assert (refused.value.problems[0].cause, refused.value.problems[0].hint) == (cause, hint)


def test_no_directory_is_made_for_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "rows.parquet"
    failed = program(MIXED, "--parquet", str(path))
    assert failed.returncode == 1
    assert failed.stderr.decode().splitlines() == [
        f"netledger: {path}: write: no such directory",
        f"hint: make it: mkdir -p {path.parent}",
    ]
    assert not path.parent.exists()


def test_packets_cut_within_their_header_are_told_with_code_3(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    whole = ip("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, 100))
    path.write_bytes(pcap([Record(0, whole), Record(1, whole[:19]), Record(2, whole[:19]), Record(3, b"")], link=RAW))
    result = run(str(path), "--csv")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-2:] == [
        f"netledger: {path}: read: 3 packets are not accounted: "
        "1 without an IP header, 2 cut before the end of the IP header",
        "hint: capture more of each packet, as with tcpdump -s 128",
    ]
    path.write_bytes(pcap([Record(0, whole[:20])], link=RAW))
    assert run(str(path), "--csv").exit_code == 0


def test_a_time_that_cannot_be_shifts_no_packet_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "odd.pcap"
    capture = bytearray(pcap([Record(0, ip("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, 100)))], link=RAW))
    capture[24 + 4 : 24 + 8] = b"\xff" * 4
    path.write_bytes(capture)
    result = run(str(path), "--json", "--interval", "1m")
    printed = json.loads(result.stdout)
    assert printed["capture"]["time_invalid_packets"] == 1
    assert printed["period"]["start"] == printed["rows"][0]["interval_start"] == "2025-11-20T10:00:00Z"
    assert "1 frame with an impossible time (time_invalid)" in result.stderr


def test_the_period_ends_behind_its_last_packet(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_bytes(pcap([Record(0, ip("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, 100)))], link=RAW))
    period = json.loads(run(str(path), "--json").stdout)["period"]
    assert parse_rfc3339(period["end"]) == parse_rfc3339(period["start"]) + 1


@pytest.mark.parametrize("option", ["--csv", "--json", "--top=1"])
def test_a_full_disk_is_an_error_and_no_traceback(option: str) -> None:
    command = [sys.executable, "-m", "netledger", "read", MIXED, option]
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=120)
    assert failed.returncode == 1
    assert failed.stderr.decode().splitlines()[-1] == "netledger: standard output: write: no space left on device"


@pytest.mark.parametrize("option", ["--csv", "--json", "--top=20000"])
def test_a_reader_that_has_seen_enough_is_no_matter(tmp_path: Path, option: str) -> None:
    path = tmp_path / "many.pcap"
    packets = (ip(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "192.0.2.1", UDP, b"") for n in range(20_000))
    path.write_bytes(pcap([Record(0, packet) for packet in packets], link=RAW))
    command = [sys.executable, "-m", "netledger", "read", str(path), option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_a_narrow_terminal_breaks_no_address_and_no_time() -> None:
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "netledger", "read", MIXED, "--interval", "5m", "--key"]
    wide = [*command, "host,peer,protocol,host_port,peer_port"]
    done = subprocess.run(wide, check=True, stdout=terminal, env=os.environ | {"COLUMNS": "40", "TERM": "xterm"})
    os.close(terminal)
    with open(reader, "rb", closefd=True) as file, contextlib.suppress(OSError):  # noqa: PTH123  # a descriptor
        printed = b""
        while part := os.read(file.fileno(), 65_536):
            printed += part
    assert done.returncode == 0
    assert b"2025-11-20T10:00:00Z to 2025-11-20T10:05:00Z\r\n" in printed
    rows = run(MIXED, "--interval", "5m", "--csv", "--key", "host,peer,protocol,host_port,peer_port").stdout
    hosts = {line.split(",")[3] for line in rows.splitlines()[1:]}
    assert [host for host in hosts if host.encode() not in printed] == []


def test_a_cut_capture_ends_with_code_3_and_its_whole_packets() -> None:
    cut = program("-", "--csv", standard_input=Path(MIXED).read_bytes()[:-1])
    assert cut.returncode == 3
    assert len(cut.stdout.splitlines()) == 8
    assert b"netledger: -: read: it ends inside a record at byte" in cut.stderr


@pytest.mark.parametrize(("patience_seconds", "is_shown"), [(0.0, True), (3600.0, False)])
def test_the_progress_bar_comes_on_a_terminal_when_reading_takes_long(
    patience_seconds: float, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setattr(read_module, "_PATIENCE_SECONDS", patience_seconds)
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with read_module._progress_bar() as show:
            show(Progress(1_000_000, 4_000_000))
        print("end", file=terminal, flush=True)
        printed = os.read(ours, 65_536).decode()
        while "end" not in printed:
            printed += os.read(ours, 65_536).decode()
    os.close(ours)
    assert ("1.0/4.0 MB" in printed) == is_shown
    assert (printed.strip() != "end") == is_shown


def test_no_terminal_no_progress_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_module, "_PATIENCE_SECONDS", 0.0)
    with read_module._progress_bar() as show:
        show(Progress(1_000_000, 4_000_000))
    assert capfd.readouterr() == ("", "")
