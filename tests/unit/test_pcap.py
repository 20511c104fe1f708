"""Captures as a source: what is counted, what is refused and in which words."""

import fcntl
import gzip
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netledger.errors import CaptureError, UsageError
from netledger.sources.base import Key
from netledger.sources.pcap import Capture, PcapConfig, PcapSource, Progress
from tests.golden.writer import ETHERNET, RAW, TCP, UDP, Record, ethernet, ip, pcap, tcp, udp

PACKET = ip("192.0.2.1", "192.0.2.2", UDP, udp(1, 2, 100))
PACKET_BYTES = 128


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(capture: bytes) -> Path:
        path = tmp_path / "capture"
        path.write_bytes(capture)
        return path

    return to_file


def read(path: Path | str, **options: int | Key) -> Capture:
    config = PcapConfig(path=str(path), **{"key": Key(), **options})  # type: ignore[arg-type]  # fields by name
    return PcapSource(config).read(lambda _progress: None)


def rows(capture: Capture) -> list[dict[str, object]]:
    return [dict(row) for row in pa.record_batch(capture.rows).to_pylist()]


def test_a_capture_is_posted_on_both_sides(write: Callable[[bytes], Path]) -> None:
    capture = read(write(pcap([Record(n, ethernet(PACKET)) for n in range(3)])))
    assert capture.totals.received_packets == 3
    assert capture.totals.posted_sent_bytes == capture.totals.posted_received_bytes == 3 * PACKET_BYTES
    assert [(row["sent_packets"], row["received_packets"]) for row in rows(capture)] == [(3, 0), (0, 3)]
    assert capture.last_ns is not None
    assert capture.first_ns is not None
    assert capture.last_ns - capture.first_ns == 2000
    assert capture.link_types == ("ETHERNET",)
    assert capture.truncated is None


def test_intervals_are_aligned_and_packets_out_of_order_find_theirs(write: Callable[[bytes], Path]) -> None:
    minute_us = 60_000_000
    times = [minute_us - 1, minute_us, 0, 7 * minute_us, minute_us + 1]
    path = write(pcap([Record(at, PACKET) for at in times], link=RAW))
    sent: dict[object, object] = {}
    for row in rows(read(path, interval_ns=minute_us * 1000)):
        if row["sent_packets"]:
            sent[row["interval_start_ns"]] = row["sent_packets"]
    start_ns = 1_763_632_800_000_000_000
    assert sent == {start_ns: 2, start_ns + minute_us * 1000: 2, start_ns + 7 * minute_us * 1000: 1}


def test_an_empty_capture_is_no_error(write: Callable[[bytes], Path]) -> None:
    capture = read(write(pcap([])))
    assert capture.totals.received_packets == 0
    assert capture.first_ns is None
    assert rows(capture) == []


def test_each_step_is_told(write: Callable[[bytes], Path]) -> None:
    size_bytes = 70 << 20
    path = write(pcap([]))
    with path.open("ab") as file:
        record = pcap([Record(0, bytes(1 << 20))])[24:]
        for _ in range(size_bytes >> 20):
            file.write(record)
    told: list[Progress] = []
    PcapSource(PcapConfig(path=str(path), key=Key())).read(told.append)
    assert len(told) >= 2
    assert [one.position_bytes for one in told] == sorted({one.position_bytes for one in told})
    assert {one.size_bytes for one in told} == {path.stat().st_size}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not a pcap or pcapng capture (it is empty)"),
        (b"root:x:0:0", "not a pcap or pcapng capture (starts with 72 6f 6f 74)"),
        (gzip.compress(pcap([]), mtime=0), "not a pcap or pcapng capture (starts with 1f 8b 08 00: gzip data)"),
        (pcap([], link=105), "link type IEEE802_11 (105) is not understood"),
        (pcap([])[:20], "the pcap file header is cut short (20 of 24 bytes)"),
    ],
)
def test_what_is_no_capture_is_refused_by_name(content: bytes, cause: str, write: Callable[[bytes], Path]) -> None:
    path = write(content)
    with pytest.raises(CaptureError) as refused:
        read(path)
    assert str(refused.value) == f"{path}: read: {cause}"


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="read: is a directory"):
        read(tmp_path)
    with pytest.raises(CaptureError, match="read: no such file or directory"):
        read(tmp_path / "none")


def test_a_file_name_need_not_be_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.pcap")
    path.write_bytes(pcap([Record(0, ethernet(PACKET))]))
    assert read(path).totals.received_packets == 1


def test_a_cut_capture_says_where(write: Callable[[bytes], Path]) -> None:
    capture = read(write(pcap([Record(n, PACKET) for n in range(2)], link=RAW)[:-1]))
    assert capture.totals.posted_sent_packets == 1
    assert capture.truncated == "it ends inside a record at byte 168 (143 of at least 144 bytes are there)"


@pytest.mark.parametrize("column", ["interface", "label", "hosts", ""])
def test_a_column_that_captures_do_not_have_is_refused(column: str, write: Callable[[bytes], Path]) -> None:
    with pytest.raises(UsageError, match="a capture has none; it has host, peer, protocol, host_port, peer_port"):
        read(write(pcap([])), key=Key(columns=("host", column)))


def test_a_network_that_is_none_is_refused(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(UsageError, match=r'"10\.0\.0\.0/33" is no network'):
        read(write(pcap([])), key=Key(local=("10.0.0.0/33",)))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_waits_for_the_writer_of_a_pipe_and_the_second_one_does_not(times: int) -> None:
    """A pipe that stays open: the process is sent the signal of Ctrl-C whenever it has read all there is."""
    program = (
        "from netledger.sources.pcap import *; from netledger.sources.base import Key\n"
        "import sys; print('ready', flush=True)\n"
        "capture = PcapSource(PcapConfig(path='-', key=Key())).read(lambda progress: None)\n"
        "print(capture.totals.posted_sent_packets, capture.truncated)\n"
    )
    packet = pcap([Record(0, PACKET)], link=RAW)[24:]
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert _line(process) == "ready\n"
        process.stdin.write(pcap([], link=RAW) + packet)
        process.stdin.flush()
        for turn in range(times):
            _wait_until_all_is_read(process)
            process.send_signal(signal.SIGINT)
            if turn + 1 < times:
                # The next packet can only be taken by a process that has gone back to reading.
                process.stdin.write(packet)
                process.stdin.flush()
        if times == 1:
            process.stdin.write(packet)
            process.stdin.close()
        interrupted = "None" if times == 1 else "reading was interrupted at byte 312"
        assert _line(process) == f"2 {interrupted}\n"
        process.stdin.close()
        assert process.wait(90) == 0


def _line(process: "subprocess.Popen[bytes]") -> str:
    """The next line that the process prints; it is ended if there is none in time."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], 30)[0]:
        process.kill()
    return process.stdout.readline().decode()


def _wait_until_all_is_read(process: "subprocess.Popen[bytes]") -> None:
    """Returns when the pipe has been emptied and the process sleeps on it."""
    assert process.stdin is not None
    deadline = time.monotonic() + 30
    wchan, waiting = "", 1
    while time.monotonic() < deadline:
        waiting = int.from_bytes(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)), sys.byteorder)
        wchan = Path(f"/proc/{process.pid}/wchan").read_text(encoding="ascii")
        if waiting == 0 and "pipe" in wchan:
            return
    raise AssertionError(f"process {process.pid} does not wait for its pipe: {wchan}, {waiting} bytes in it")


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.9", "fd09::1", "fd09::2", "fd09:0:0:1::1"])


@settings(max_examples=60, deadline=None)
@given(
    packets=st.lists(st.tuples(ADDRESSES, ADDRESSES, st.integers(0, 1400), st.integers(0, 300_000_000)), max_size=60),
    rows_max=st.integers(1, 20),
    interval_s=st.sampled_from([0, 1, 60]),
    local=st.sampled_from([(), ("10.0.0.0/16", "fd09::/64")]),
)
def test_sent_is_received_whatever_the_key_and_the_bound(
    packets: list[tuple[str, str, int, int]],
    rows_max: int,
    interval_s: int,
    local: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    records, bytes_by_interval = [], dict[int, int]()
    for one, other, body, after_us in packets:
        if (":" in one) == (":" in other):
            packet = ip(one, other, TCP, tcp(1, 2, body))
            records.append(Record(after_us, ethernet(packet)))
            start = after_us // 1_000_000 // interval_s * interval_s if interval_s else 0
            bytes_by_interval[start] = bytes_by_interval.get(start, 0) + len(packet)
    path = tmp_path_factory.mktemp("capture") / "capture.pcap"
    path.write_bytes(pcap(records, link=ETHERNET))
    interval_ns = interval_s * 1_000_000_000
    capture = read(path, key=Key(columns=("host", "peer"), local=local), rows_max=rows_max, interval_ns=interval_ns)
    sent, received = dict[int, int](), dict[int, int]()
    for row in rows(capture):
        start = (int(str(row.get("interval_start_ns", 1_763_632_800_000_000_000))) // 1_000_000_000) - 1_763_632_800
        sent[start] = sent.get(start, 0) + int(str(row["sent_bytes"]))
        received[start] = received.get(start, 0) + int(str(row["received_bytes"]))
    assert sent == received == bytes_by_interval
