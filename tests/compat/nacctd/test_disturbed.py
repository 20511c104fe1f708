"""Kills, full disks, storms of signals, lines that come and go: what the log says in the end.

nacctd loses records in most of these; where that is quickly seen, it is shown beside.
"""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.compat.nacctd.both import Nacctd, Program
from tests.compat.nacctd.cases import HEADERS
from tests.compat.nacctd.space import Line, Wires, ipv4, udp
from tests.kernel.lab import wait_for
from tests.kernel.senders import Udp, start_udp, stop_udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd")]

EACH_SECOND = HEADERS.replace("flush 1000", "flush 1")
"""A dump each second, and no line before the end."""
WIRE = "17\t10.77.1.2\t{port}\t10.77.1.1\t9000\t{count}\t{octets}\teth0\tunknown"


@pytest.fixture
def wires() -> Iterator[Wires]:
    with Wires() as made:
        yield made


def row(port: int, count: int) -> str:
    """So many datagrams from a port."""
    return WIRE.format(port=port, count=count, octets=128 * count)


def send(wires: Wires, port: int, count: int) -> None:
    wires.datagrams(wires.left, "10.77.1.2", "10.77.1.1", (port, 9000), count)


def noted(nacctd: Nacctd, *rows: str) -> None:
    """Waits until the dump has these rows."""
    wait_for(lambda: set(rows) <= set(nacctd.noted()), 20, f"{rows} are noted")


def fill(path: Path) -> None:
    """Writes until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass


class Gone:
    """Whether a file that is written anew each second has not been there for two of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = time.monotonic()

    def __call__(self) -> bool:
        if self._path.exists():
            self._since = time.monotonic()
        return time.monotonic() - self._since > 2.0


def killed(nacctd: Nacctd) -> None:
    nacctd.child.signal(signal.SIGKILL)
    assert nacctd.child.wait() == -signal.SIGKILL


def test_what_was_counted_outlives_kills_and_is_written_once(wires: Wires) -> None:
    ours = Nacctd(Program.OURS, wires, EACH_SECOND)
    for port in (4001, 4002, 4003):
        ours.start()
        send(wires, 4000, 10)
        send(wires, port, 5)
        noted(ours, row(4000, 10 * (port - 4000)), row(port, 5))
        killed(ours)
    ours.start()
    assert ours.stop() == 1
    assert dict(ours.rows()) == {row(4000, 30): 1, row(4001, 5): 1, row(4002, 5): 1, row(4003, 5): 1}
    assert not ours.dump.exists()


def test_the_dump_of_the_old_program_that_was_killed_is_taken_over(wires: Wires) -> None:
    real = Nacctd(Program.REAL, wires, EACH_SECOND)
    real.start()
    send(wires, 4000, 10)
    noted(real, row(4000, 10))
    killed(real)
    ours = Nacctd(Program.OURS, wires, "")
    ours.table, ours.log, ours.dump = real.table, real.log, real.dump
    ours.start()
    send(wires, 4001, 5)
    assert ours.stop() == 1
    assert dict(ours.rows()) == {row(4000, 10): 1, row(4001, 5): 1}


def test_a_full_disk_delays_lines_and_loses_none(wires: Wires) -> None:
    both = [Nacctd(program, wires, EACH_SECOND.replace("fdelay 1000", "fdelay 2")) for program in Program]
    for one in both:
        table = one.table.read_text().replace(str(one.log), f"{one.here}/small/net-acct.log")
        one.table.write_text(table + "errdelay 0\n")
        one.start()
        fill(one.small / "filled")
    real, ours = both
    send(wires, 4000, 10)
    noted(real, row(4000, 10))
    wait_for(Gone(real.dump), 20, "the old one has tried to write them, and has forgotten them")
    noted(ours, row(4000, 10))
    for one in both:
        (one.small / "filled").unlink()
        one.log = one.small / "net-acct.log"
    send(wires, 4001, 5)
    wait_for(lambda: {row(4000, 10), row(4001, 5)} == set(ours.rows()), 20, "ours has written all")
    wait_for(lambda: row(4001, 5) in real.rows(), 20, "the old one writes again")
    assert set(real.rows()) == {row(4001, 5)}
    assert all(number == 1 for number in ours.rows().values())
    assert ours.stop() == real.stop() == 1


def test_a_storm_of_hups_with_good_and_bad_tables_loses_nothing(wires: Wires) -> None:
    ours = Nacctd(Program.OURS, wires, HEADERS)
    ours.start()
    good = ours.table.read_text()
    for number in range(60):
        ours.table.write_text(("compactnet 1\n" if number % 3 == 0 else "") + good + f"fdelay {number}\n")
        ours.child.signal(signal.SIGHUP)
        send(wires, 4000, 5)
        ours.child.signal(signal.SIGHUP)
        send(wires, 4001, 1)
    assert ours.stop() == 1
    assert dict(ours.rows()) == {row(4000, 300): 1, row(4001, 60): 1}


def test_lines_that_come_and_go_are_counted_from_their_first_packet(wires: Wires) -> None:
    both = [Nacctd(program, wires, HEADERS) for program in Program]
    for one in both:
        one.start()
    for number in range(1, 21):
        # The name is another one's each time, and the index always a new one.
        with Line(wires, wires.gw, f"ppp{number % 3}", "10.50.0.1", "10.50.0.2") as line:
            for _ in range(number):
                line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 100)))
            wires.settled()
    real, ours = both
    assert [one.stop() for one in both] == [1, 1]
    assert ours.rows() == real.rows()
    assert sum(int(line.split("\t")[5]) for line in ours.rows()) == sum(range(1, 21))


def test_both_write_what_is_idle_and_keep_what_goes_on(wires: Wires) -> None:
    both = [Nacctd(program, wires, EACH_SECOND.replace("fdelay 1000", "fdelay 4")) for program in Program]
    for one in both:
        one.start()
    send(wires, 5000, 3)
    plan = Udp(source="10.77.1.2", destination="10.77.1.1", source_port=4000, payload_bytes=100, count=0, rate=20)
    sender = start_udp(wires, wires.left, plan)
    for one in both:
        wait_for(partial(_is_idle, one), 20, "what is idle is written")
        assert set(one.rows()) == {row(5000, 3)}
        # It is written anew each second, and empty for a moment.
        wait_for(partial(_goes_on, one), 20, "the rest is noted")
    sent = stop_udp(sender).count.packets
    real, ours = both
    assert [one.stop() for one in both] == [1, 1]
    assert dict(ours.rows()) == dict(real.rows()) == {row(5000, 3): 1, row(4000, sent): 1}


def _is_idle(nacctd: Nacctd) -> bool:
    return row(5000, 3) in nacctd.rows()


def _goes_on(nacctd: Nacctd) -> bool:
    return any("\t4000\t" in line for line in nacctd.noted())


def test_after_tstp_the_end_writes_what_the_old_one_forgets(wires: Wires) -> None:
    both = [Nacctd(program, wires, HEADERS) for program in Program]
    for one in both:
        one.start()
    send(wires, 4000, 10)
    wires.settled()
    for one in both:
        one.child.signal(signal.SIGTSTP)
    real, ours = both
    assert [one.stop() for one in both] == [1, 1]
    assert dict(ours.rows()) == {row(4000, 10): 1}
    assert dict(real.rows()) == {}


def test_a_process_that_was_held_up_has_lost_nothing(wires: Wires) -> None:
    both = [Nacctd(program, wires, HEADERS) for program in Program]
    for one in both:
        one.start()
        one.child.signal(signal.SIGSTOP)
    with wires.inside(wires.left), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("10.77.1.2", 4000))
        for _ in range(3000):
            sender.sendto(bytes(100), ("10.77.1.1", 9000))
    for one in both:
        one.child.signal(signal.SIGCONT)
    real, ours = both
    assert [one.stop() for one in both] == [1, 1]
    assert dict(ours.rows()) == {row(4000, 3000): 1}
    # It does not know it: its queue had no room for more.
    (told,) = real.rows()
    assert int(told.split("\t")[5]) < 1000


def test_a_second_instance_touches_nothing(wires: Wires) -> None:
    ours = Nacctd(Program.OURS, wires, EACH_SECOND)
    ours.start()
    send(wires, 4000, 10)
    noted(ours, row(4000, 10))
    second = wires.spawn(wires.gw, ours.words())
    assert second.wait() == 1
    assert row(4000, 10) in ours.noted()
    assert not ours.dump.with_suffix(".o").exists()
    send(wires, 4000, 1)
    assert ours.stop() == 1
    assert dict(ours.rows()) == {row(4000, 11): 1}
