"""What happens when packets are lost, or the process is."""

import re
import signal
from functools import partial
from itertools import pairwise

import pytest

from tests.compat.go_nflog_acctd.transcript import log_of
from tests.compat.go_nflog_acctd.wire import NAME, SECONDS, Wire
from tests.kernel.lab import Count, wait_for
from tests.kernel.senders import Udp, start_udp, stop_udp, udp

pytestmark = pytest.mark.kernel

RULE = "iptables -A OUTPUT -p udp --dport 9000 -j NFLOG --nflog-group 4 --nflog-size 20 --nflog-threshold 1"
PACKETS = 260_000
PACKET_BYTES = 38
MISSING = re.compile(r"(\d+) missing packets detected, (\d+) to (\d+)")


def starts_with(start: str, line: str) -> bool:
    return line.startswith(start)


def waiting_bytes(wire: Wire) -> int:
    """What waits in the receive buffers of netfilter's netlink sockets."""
    sockets = (line.split() for line in wire.run(wire.a, ["cat", "/proc/net/netlink"]).splitlines()[1:])
    return sum(int(columns[4]) for columns in sockets if columns[1] == "12")


def test_an_overrun_and_the_packets_that_are_missing_are_told(wire: Wire) -> None:
    wire.rules(RULE)
    daemon = wire.start("-ip4-dst-group", "4", directory="go5/enob").started()
    daemon.child.signal(signal.SIGSTOP)
    burst = Udp(source="10.9.0.1", destination="10.9.0.2", count=PACKETS, payload_bytes=10, rate=0)
    assert udp(wire, wire.a, burst).count.packets == PACKETS
    daemon.child.signal(signal.SIGCONT)
    daemon.wait_for_line("Recv failed: no buffer space available")
    wait_for(lambda: waiting_bytes(wire) == 0, SECONDS, "all is received")
    wire.send(5, 10)
    daemon.wait_for_line(lambda line: MISSING.fullmatch(line) is not None)
    assert daemon.stop() == 0
    told = [match for line in daemon.log() if (match := MISSING.fullmatch(line))]
    assert len(told) == 1
    missing, received, expected = (int(number) for number in told[0].groups())
    assert missing == received - expected
    assert received == PACKETS
    sent = wire.counts("OUTPUT")[0]
    assert sent.packets == PACKETS + 5
    assert daemon.sums() == {
        "10.9.0.2": (Count(0, 0), Count(sent.packets - missing, (sent.packets - missing) * PACKET_BYTES))
    }
    even_missing = [MISSING.sub("missing", line) for line in daemon.log()]
    assert even_missing == [MISSING.sub("missing", line) for line in log_of("05")]


def test_what_a_killed_process_had_counted_is_written_first(wire: Wire) -> None:
    wire.rules(RULE)
    killed = wire.start("-interval", "24h", "-debug", "-ip4-dst-group", "4").started()
    wire.send(7, 10)
    killed.wait_for_line("IP message Dest Addr 10.9.0.2 Size 38", times=7)
    killed.child.kill()
    assert killed.files() == {}
    daemon = wire.start("-interval", "24h", "-ip4-dst-group", "4").started()
    assert [line.partition(" since ")[0] for line in daemon.log()[1:4]] == [
        "Recovered what a killed process had counted",
        "Dumping stats to acc/TIME_TIME.csv",
        'Stats file "acc/TIME_TIME.csv" written',
    ]
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(7, 7 * PACKET_BYTES))}
    wire.send(2, 10)
    assert daemon.stop() == 0
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(9, 9 * PACKET_BYTES))}
    assert len(daemon.files()) == 2


def test_what_was_counted_with_another_prefix_is_written_as_it_was_counted(wire: Wire) -> None:
    wire.rules(RULE)
    killed = wire.start("-debug", "-ip4-dst-group", "4").started()
    wire.send(3, 10)
    killed.wait_for_line("IP message Dest Addr 10.9.0.2 Size 38", times=3)
    killed.child.kill()
    daemon = wire.start("-ip4-dst-group", "4", "-ip4-prefix-length", "24").started()
    wire.send(2, 10)
    assert daemon.stop() == 0
    assert daemon.sums() == {
        "10.9.0.2": (Count(0, 0), Count(3, 3 * PACKET_BYTES)),
        "10.9.0.0": (Count(0, 0), Count(2, 2 * PACKET_BYTES)),
    }


def test_a_second_process_for_the_same_directory_is_refused(wire: Wire) -> None:
    first = wire.start("-ip4-dst-group", "4").started()
    second = wire.start("-ip4-dst-group", "5")
    assert second.child.wait() == 1
    why = "stop it first, or use another -log-directory or -runtime-directory"
    told = f'log directory "acc": already counted by pid {first.child.pid} ({why})'
    assert told in second.text()
    assert first.stop() == 0


def test_the_usual_runtime_directory_outlives_the_process(wire: Wire) -> None:
    run = wire.directory / "run"
    run.mkdir()
    own_run = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /run && exec "$@"', str(run))
    wire.rules(RULE)
    killed = wire.start("-debug", "-ip4-dst-group", "4", before=own_run, own_runtime=False).started()
    wire.send(3, 10)
    killed.wait_for_line("IP message Dest Addr 10.9.0.2 Size 38", times=3)
    killed.child.kill()
    assert len(list(run.glob("netledger/go-nflog-acctd-*/*.table"))) == 1
    daemon = wire.start("-ip4-dst-group", "4", before=own_run, own_runtime=False).started()
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(3, 3 * PACKET_BYTES))}
    assert daemon.stop() == 0
    assert list(run.glob("netledger/go-nflog-acctd-*/*.table")) == []


def test_whenever_it_is_killed_no_packet_is_counted_twice_and_none_that_was_told_is_missing(wire: Wire) -> None:
    wire.rules(RULE)
    plan = Udp(source="10.9.0.1", destination="10.9.0.2", count=0, payload_bytes=10, rate=500, seconds=50)
    sender = start_udp(wire, wire.a, plan)
    told = 0
    for end in ("Dumping stats", "Stats file", "Next stats dump", "4: Processing"):
        daemon = wire.start("-interval", "1s", "-debug", "-ip4-dst-group", "4").started()
        already = sum(line.startswith(end) for line in daemon.log())
        daemon.wait_for_line(partial(starts_with, end), times=already + 2)
        daemon.child.kill()
        told += sum(line.startswith("IP message") for line in daemon.log())
    daemon = wire.start("-interval", "1s", "-ip4-dst-group", "4").started()
    assert daemon.stop() == 0
    assert stop_udp(sender).refused == 0
    counted = daemon.sums()["10.9.0.2"][1]
    assert told > 0
    assert told <= counted.packets <= wire.counts("OUTPUT")[0].packets
    assert counted.bytes == counted.packets * PACKET_BYTES
    names = [NAME.fullmatch(name) for name in daemon.files()]
    bounds = sorted((match[1], match[2]) for match in names if match)
    assert all(end <= start for (_, end), (start, _) in pairwise(bounds))
    assert daemon.leftovers() == []
