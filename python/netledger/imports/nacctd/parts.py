"""The lines of a period as rows, in as many parts as it takes that no address has two users in one.

A user is true for the line that it stands in, and a report finds it by address and time. So where an address passes
from one user to the next, or to nobody, the period is divided at the time of the first line that says so. Lines of
both that were written in one second stand in parts of a millionth of a second each, which nothing else claims.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from netledger.imports.nacctd.fields import Fields
from netledger.imports.nacctd.log import Piece
from netledger.imports.nacctd.users import UserLine, Whose, name_of
from netledger.receipt import Count

_ICMP: Final = frozenset((b"1", b"58"))
_SECOND_NS: Final = 1_000_000_000
STEP_NS: Final = 1_000
"""How far apart parts begin that were opened in one second."""


class Key(NamedTuple):
    """What lines are added up by, as the text of the log; None for fields that it has not."""

    host: bytes | None
    peer: bytes | None
    protocol: bytes | None
    host_port: bytes | None
    peer_port: bytes | None
    device: bytes | None
    user: str | None
    is_sent: bool


@final
@dataclass(slots=True)
class Part:
    """Lines of a period in which each address has one user.

    Attributes:
        start_ns: before which nothing of it was written; None of the first part.
        last_second: when its last line was written.
        rows: packets and bytes by key.
        holders: who had the addresses that lines are booked to; None is nobody.
    """

    start_ns: int | None
    last_second: int = 0
    rows: dict[Key, tuple[int, int]] = field(default_factory=dict, repr=False)
    holders: dict[bytes, str | None] = field(default_factory=dict, repr=False)

    @property
    def accounted(self) -> Count:
        """What its rows add up to.

        Raises:
            OverflowError: that does not fit 64 bits.
        """
        return Count(sum(packets for packets, _ in self.rows.values()), sum(octets for _, octets in self.rows.values()))

    @property
    def other(self) -> Count:
        """What no address can be told of.

        Raises:
            OverflowError: that does not fit 64 bits.
        """
        found = [count for key, count in self.rows.items() if key.host is None]
        return Count(sum(packets for packets, _ in found), sum(octets for _, octets in found))


class _Line(NamedTuple):
    second: int
    key: Key
    packets: int
    octets: int


def parts(piece: Piece, fields: Fields, whose: Whose) -> list[Part]:
    """The parts of a piece in the order of their time; one where no address changes hands."""
    found = [Part(None)]
    now, opened, first = -1, 0, 0
    for line in _lines(piece, fields, whose):
        if line.second != now:
            # The part in which the line before was put goes on; those that were opened in one second end with it.
            now, first, opened = line.second, len(found) - 1, 0
        place = _place(found, first, line.key)
        if place == len(found):
            found.append(Part(now * _SECOND_NS + opened * STEP_NS))
            opened += 1
        _add(found[place], line)
    return found


def _place(found: list[Part], first: int, key: Key) -> int:
    """The first of the parts that may take the line; one behind them if it needs a new one."""
    if key.host is None:
        return first
    for place in range(first, len(found)):
        if found[place].holders.get(key.host, key.user) == key.user:
            return place
    return len(found)


def _add(part: Part, line: _Line) -> None:
    packets, octets = part.rows.get(line.key, (0, 0))
    part.rows[line.key] = packets + line.packets, octets + line.octets
    part.last_second = max(part.last_second, line.second)
    if line.key.host is not None:
        part.holders[line.key.host] = line.key.user


def _lines(piece: Piece, fields: Fields, whose: Whose) -> Iterator[_Line]:
    columns = dict(zip(fields.names, zip(*piece.values, strict=True), strict=True))
    nothing: tuple[None, ...] = (None,) * len(piece.values)
    zeros = (0,) * len(piece.values)
    sources, destinations = columns.get("src", nothing), columns.get("dst", nothing)
    users = _users(columns.get("user", nothing))
    protocols, devices = columns.get("proto", nothing), columns.get("device", nothing)
    seconds = map(int, columns["time"])
    counts = map(int, columns["count"]) if "count" in columns else zeros
    octets = map(int, columns["bytes"]) if "bytes" in columns else zeros
    ports = zip(columns.get("sport", nothing), columns.get("dport", nothing), strict=True)
    are_sent = _are_sent(sources, destinations, users, whose)
    for second, protocol, source, destination, (sport, dport), device, user, packets, size, is_sent in zip(
        seconds, protocols, sources, destinations, ports, devices, users, counts, octets, are_sent, strict=True
    ):
        if is_sent:
            key = Key(source, destination, protocol, sport, dport, device, user, is_sent=True)
        elif protocol in _ICMP:
            # Type and code, which are of the packet and of neither side.
            key = Key(destination, source, protocol, sport, dport, device, user, is_sent=False)
        else:
            key = Key(destination, source, protocol, dport, sport, device, user, is_sent=False)
        yield _Line(second, key, packets, size)


def with_users(piece: Piece, fields: Fields) -> Iterator[UserLine]:
    """Source, destination and user of the lines that have all of them."""
    columns = dict(zip(fields.names, zip(*piece.values, strict=True), strict=True))
    if {"src", "dst", "user"} <= set(columns):
        yield from _seen(columns["src"], columns["dst"], _users(columns["user"]))


def _seen(
    sources: Sequence[bytes | None], destinations: Sequence[bytes | None], users: Sequence[str | None]
) -> Iterator[UserLine]:
    for source, destination, user in zip(sources, destinations, users, strict=True):
        if source is not None and destination is not None and user is not None:
            yield source, destination, user


def _users(column: Sequence[bytes | None]) -> Sequence[str | None]:
    names = {user: None if user is None else name_of(user) for user in set(column)}
    return [names[user] for user in column]


def _are_sent(
    sources: Sequence[bytes | None], destinations: Sequence[bytes | None], users: Sequence[str | None], whose: Whose
) -> Iterator[bool]:
    """Whether a line is booked to its source: but for those of a user who had the destination."""
    decided = whose.are_sources(_seen(sources, destinations, users))
    for source, destination, user in zip(sources, destinations, users, strict=True):
        if source is None or destination is None:
            yield source is not None or destination is None
        else:
            yield user is None or decided[source, destination, user]
