"""Names beside addresses: bounded, remembered, and harmless whatever stands in the DNS."""

import ipaddress
import json
import threading
import time
from pathlib import Path

import pytest

from netledger.reports.harmless import harmless
from netledger.reports.names import (
    ADDRESSES_MAX,
    Names,
    addresses_of,
    default_memory,
    look_up,
    remembered,
    with_names,
)
from tests.unit.booked import Booked, ask, book
from tests.unit.rows import row

HOUR_NS = 3_600_000_000_000


def packed(number: int) -> bytes:
    return bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(f"10.0.{number >> 8}.{number & 255}").packed


def named(address: bytes) -> str | None:
    return f"host-{address[-1]}.example." if address[-1] % 2 else None


def test_each_address_is_asked_for_once_and_those_without_a_name_are_known_too() -> None:
    asked: list[bytes] = []

    def lookup(address: bytes) -> str | None:
        asked.append(address)
        return named(address)

    found = look_up([packed(1), packed(2), packed(1)], lookup=lookup)
    assert found == Names({packed(1): "host-1.example", packed(2): None}, 0)
    assert sorted(asked) == [packed(1), packed(2)]


def test_who_does_not_answer_is_not_waited_for() -> None:
    release = threading.Event()

    def slow(address: bytes) -> str | None:
        if address == packed(1):
            release.wait(60)
        return named(address)

    started = time.monotonic()
    found = look_up(map(packed, range(1, 200)), lookup=slow, seconds=0.5)
    took = time.monotonic() - started
    release.set()
    assert found.unanswered == 1
    assert packed(1) not in found.known
    assert len(found.known) == 198
    assert 0.5 <= took < 40


def test_a_server_that_fails_is_no_answer() -> None:
    def failing(_address: bytes) -> str | None:
        raise OSError

    assert look_up([packed(1)], lookup=failing) == Names({}, 1)


def test_no_more_are_asked_for_than_there_may_be() -> None:
    found = look_up(map(packed, range(ADDRESSES_MAX + 7)), lookup=named)
    assert (len(found.known), found.unanswered) == (ADDRESSES_MAX, 7)


def test_nothing_to_ask_for_takes_no_time() -> None:
    assert look_up([], lookup=named) == Names({}, 0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("a\nb\rc\td", r"a\x0ab\x0dc\x09d"),
        ("evil\u202eelif", r"evil\u202eelif"),
        ("wide\U000e0041", r"wide\U000e0041"),
        ("x" * 300, "x" * 253),
        (".", None),
        ("", None),
        ("bücher.example.", "bücher.example"),
    ],
)
def test_whatever_stands_in_the_dns_is_harmless(name: str, shown: str | None) -> None:
    assert look_up([packed(1)], lookup=lambda _: name).known == {packed(1): shown}


def test_what_is_harmless_stays_as_it_is() -> None:
    assert harmless("printer-7.lan Größe") == "printer-7.lan Größe"


def test_answers_are_remembered_for_an_hour(tmp_path: Path) -> None:
    memory = tmp_path / "cache" / "names.json"
    asked: list[bytes] = []

    def lookup(address: bytes) -> str | None:
        asked.append(address)
        return named(address)

    first = remembered(memory, [packed(1), packed(2)], now_ns=HOUR_NS, lookup=lookup)
    again = remembered(memory, [packed(2), packed(1), packed(3)], now_ns=2 * HOUR_NS - 1, lookup=lookup)
    assert first.known == {packed(1): "host-1.example", packed(2): None}
    assert again == Names({packed(1): "host-1.example", packed(2): None, packed(3): "host-3.example"}, 0)
    assert sorted(asked) == [packed(1), packed(2), packed(3)]
    remembered(memory, [packed(1)], now_ns=2 * HOUR_NS, lookup=lookup)
    assert sorted(asked) == [packed(1), packed(1), packed(2), packed(3)]


def test_a_silent_server_is_asked_again(tmp_path: Path) -> None:
    def failing(_address: bytes) -> str | None:
        raise OSError

    memory = tmp_path / "names.json"
    assert remembered(memory, [packed(1)], now_ns=1, lookup=failing) == Names({}, 1)
    assert not memory.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"zz": ["a", 1]}',
        b'{"00": "a"}',
        b'{"00": ["a"]}',
        b'{"00": [7, 1]}',
        b'{"00": ["a", null]}',
    ],
)
def test_a_memory_that_is_none_is_done_without(tmp_path: Path, content: bytes) -> None:
    memory = tmp_path / "names.json"
    memory.write_bytes(content)
    assert remembered(memory, [packed(1)], now_ns=1, lookup=named).known == {packed(1): "host-1.example"}


def test_a_memory_that_was_written_by_others_is_harmless(tmp_path: Path) -> None:
    memory = tmp_path / "names.json"
    memory.write_text(json.dumps({packed(1).hex(): ["\x1b[2J", 1]}))
    assert remembered(memory, [packed(1)], now_ns=1, lookup=named).known == {packed(1): r"\x1b[2J"}


def test_a_memory_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = tmp_path / "file" / "names.json"
    assert remembered(memory, [packed(1)], now_ns=1, lookup=named).known == {packed(1): "host-1.example"}


def test_the_memory_is_where_such_things_belong() -> None:
    assert default_memory({"XDG_CACHE_HOME": "/var/cache/x"}) == Path("/var/cache/x/netledger/names.json")
    assert default_memory({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/netledger/names.json"


def test_names_stand_behind_their_addresses(tmp_path: Path) -> None:
    talk = [
        row("host", host="10.0.0.1", peer="10.0.0.3", sent=(100, 1)),
        row("host", host="fd09::", peer="10.0.0.2", sent=(10, 1)),
        row("external", received=(110, 2)),
    ]
    found = ask(book(tmp_path / "s", [Booked("2026-11-20T10:00:00Z", talk)]), by=["account", "host", "peer"])
    wanted = addresses_of(found, is_whole=lambda address: not address.startswith(b"\xfd"))
    assert sorted(wanted) == [packed(1), packed(2), packed(3)]
    shown = with_names(found, look_up(wanted, lookup=named))
    assert shown.totals.names[:5] == ("account", "host", "host_name", "peer", "peer_name")
    assert shown.totals.columns["host_name"] == [None, "host-1.example", None]
    assert shown.totals.columns["peer_name"] == [None, "host-3.example", None]
    assert (shown.totals.total, len(shown.totals)) == (found.totals.total, len(found.totals))
