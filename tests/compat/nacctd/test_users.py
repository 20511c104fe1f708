"""The user column, with files that change while packets pass."""

import struct
from pathlib import Path

import pytest

from tests.compat.nacctd.wire import PEER, SECONDS, Wire, udp_line
from tests.kernel.lab import wait_for

pytestmark = pytest.mark.kernel

DYNAMIC = "dynamicip ip\ndynamicnet 10.9.0.0 255.255.255.0\nexclude-name-lookup 10.9.0.1\ndebug 16\n"
LONG = "flush 1000\nfdelay 1000\n"


@pytest.fixture
def client(wire: Wire) -> Path:
    (wire.directory / "ip").mkdir()
    return wire.directory / "ip" / PEER


def wait_until_found(wire: Wire, count: int) -> None:
    """Until so many changes of users have been taken over: the counters are cut then."""
    debug = wire.directory / "debug"
    wait_for(lambda: debug.read_text().count("[DYNA ]") >= count, SECONDS, f"{count} changes")


def test_two_users_of_one_address_have_each_what_was_theirs(wire: Wire, client: Path) -> None:
    client.write_text("alice\n")
    daemon = wire.start(LONG + DYNAMIC)
    wait_until_found(wire, 1)
    wire.send(3)
    client.write_text("carol\n")
    wait_until_found(wire, 2)
    wire.send(5)
    client.unlink()
    wait_until_found(wire, 3)
    wire.send(7)
    (wire.directory / "ip" / "new").write_text("alice\n")
    (wire.directory / "ip" / "new").rename(client)
    wait_until_found(wire, 4)
    wire.send(11)
    assert wire.stop(daemon) == 1
    expected = [udp_line(14, user="alice"), udp_line(5, user="carol"), udp_line(7)]
    assert wire.lines() == sorted(expected)


def test_a_burst_of_logins_is_followed_to_its_end(wire: Wire, client: Path) -> None:
    daemon = wire.start(LONG + DYNAMIC)
    for number in range(300):
        (client.parent / f"10.9.0.{number % 200 + 3}").write_text(f"user{number}\n")
    client.write_text("alice\n")
    wait_for(lambda: f"found alice for {PEER}" in (wire.directory / "debug").read_text(), SECONDS, "alice")
    wire.send(3)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(3, user="alice")]


def test_a_directory_that_comes_later_is_found(wire: Wire) -> None:
    daemon = wire.start(LONG + DYNAMIC)
    wire.wait_for_said("couldn't stat ip: No such file or directory")
    (wire.directory / "ip").mkdir()
    (wire.directory / "ip" / PEER).write_text("alice\n")
    wait_until_found(wire, 1)
    wire.send(3)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(3, user="alice")]
    assert sum("couldn't stat" in text for _, text in wire.said()) == 1


def test_what_a_killed_process_counted_is_booked_to_the_users_of_its_time(wire: Wire, client: Path) -> None:
    client.write_text("alice\n")
    daemon = wire.start(LONG + DYNAMIC)
    wait_until_found(wire, 1)
    wire.send(3)
    client.write_text("carol\n")
    wait_until_found(wire, 2)
    wire.send(5)
    wire.wait_for_counted(5 * 128)
    daemon.kill()
    client.write_text("dave\n")
    again = wire.start()
    wait_until_found(wire, 3)
    wire.send(7)
    assert wire.stop(again) == 1
    assert wire.lines() == sorted(udp_line(n, user=user) for n, user in ((3, "alice"), (5, "carol"), (7, "dave")))


def entry(line: str, user: str, kind: int) -> bytes:
    return struct.pack("=hxxi32s4s32s", kind, 1, line.encode(), b"", user.encode()).ljust(384, b"\0")


def test_a_user_of_a_line_is_who_is_logged_in_there(wire: Wire) -> None:
    utmp = wire.directory / "run" / "utmp"
    utmp.write_bytes(entry("ttyS0", "averylongusername", 7))
    daemon = wire.start(f"{LONG}debug 16\nline eth0 ttyS0\n", stock="debugfile debug\nheaders lo 14 12\n")
    wait_until_found(wire, 1)
    wire.send(3)
    utmp.write_bytes(entry("ttyS0", "averylongusername", 8))
    wait_until_found(wire, 2)
    wire.send(5)
    assert wire.stop(daemon) == 1
    assert wire.lines() == sorted([udp_line(3, user="averylon"), udp_line(5)])


def test_an_interface_with_headers_has_no_line(wire: Wire) -> None:
    (wire.directory / "run" / "utmp").write_bytes(entry("ttyS0", "alice", 7))
    daemon = wire.start(f"{LONG}line eth0 ttyS0\n")
    wire.send(3)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(3)]
