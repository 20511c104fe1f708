"""Rows with the subjects that they are booked to: facts are joined to rows by time, when somebody asks.

The rows get three columns more. ``subject`` is a name, or ``unknown``, ``external``, ``other`` or ``unattributed``;
``reason`` says why it is unknown; ``is_partly`` says that the subject held the address for a part of the interval
only. Each row is there once, so that every total by subject adds up to the total of the rows.
"""

import ipaddress
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.attribution.bookings import Booking, Grid, bookings
from netledger.attribution.facts import Fact, Kind
from netledger.attribution.timeline import Place, Reason, Timeline
from netledger.intervals import DAY_NS
from netledger.ledger.prefixes import ADDRESS_BITS, Known, Lengths, kind_sql, kinds_of
from netledger.receipt import parse_rfc3339
from netledger.schema import Account

if TYPE_CHECKING:
    import duckdb

UNKNOWN: Final = "unknown"
"""Rows of hosts that nobody is known for."""
NO_HOST: Final = "no host column"
"""Why they are unknown where the meter does not tell hosts apart."""

SUBJECT_COLUMNS: Final = ("subject", "reason", "is_partly")
"""What rows get."""
PLACE_COLUMNS: Final = ("host", "interface", "mark")
"""What of a row says whose it may be."""

BOOKINGS: Final = "bookings"
"""A table of what places are booked to."""
NO_ASSIGNMENT: Final = str(Reason.NO_ASSIGNMENT)
# A join for each day has all it needs near at hand, and is twice as quick as one for a month; a thousand of them take
# their time to be planned.
_PIECES_MAX: Final = 62
NAMED: Final = "named"
"""A table that says of each number what :data:`SUBJECT_COLUMNS` are."""
NUMBER: Final = "whose"
"""The number, which rows have as well: to add up by it takes a third less time than by names."""
_PLACE: Final = ("kind", *PLACE_COLUMNS)
_SPAN: Final = ("from_ns", "to_ns", "until_ns")

FoundPlace = tuple[int, bytes | None, str | None, int | None]
"""How its address is cut, as :func:`~netledger.ledger.prefixes.kind_sql` says, and :data:`PLACE_COLUMNS`."""


@final
class Knowledge:
    """What facts say, made ready for many questions. Not safe for concurrent use.

    Args:
        facts: what is known, in the order in which it was learnt.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.timeline = Timeline(facts)
        kinds = {fact.target.kind for fact in facts}
        is_asked = {"host": True, "interface": Kind.INTERFACE in kinds, "mark": Kind.MARK in kinds}
        self.keys = tuple(name for name in PLACE_COLUMNS if is_asked[name])
        """What of a row has to be looked at."""
        addresses = {fact.target.value for fact in facts if fact.target.kind is Kind.ADDRESS}
        # What only single addresses were assigned of needs no look at the rows.
        is_of_singles = self.keys == ("host",) and not any("/" in one for one in addresses)
        self.singles = [packed(one) for one in sorted(addresses)] if is_of_singles else None
        """All places that anybody can have held, where they are addresses; else None."""


@final
class Bookings:
    """What is known of the rows of some intervals.

    Args:
        known: what facts say.
        spans: starts and ends of the intervals.
        lengths: how much of their addresses meters keep.
    """

    def __init__(self, known: Knowledge, spans: Iterable[tuple[int, int]], lengths: Sequence[Known]) -> None:
        self._timeline = known.timeline
        self._keys = known.keys
        self._singles = known.singles
        self._grid = Grid(spans)
        self._lengths = lengths
        self.has_ends = False
        """Whether some of what was loaded is of intervals with one end alone."""

    @property
    def needs_places(self) -> bool:
        """Whether it has to be known which places there are in the rows: see :meth:`places_sql`."""
        return self._singles is None

    @property
    def is_of_hosts(self) -> bool:
        """Whether hosts are all that matters in :meth:`places_sql`."""
        return self._keys == ("host",) and len(kinds_of(self._lengths)) == 1

    def starts(self, start_ns: int, end_ns: int) -> tuple[int, int] | None:
        """The first and the last start of an interval in [start, end), if there is one."""
        return self._grid.starts_within(start_ns, end_ns)

    def places_sql(self, rows: str) -> str:
        """Asks rows for the places in them, for :meth:`load`."""
        columns = ", ".join(name if name in self._keys else f"NULL AS {name}" for name in PLACE_COLUMNS)
        return f"SELECT DISTINCT {kind_sql(self._lengths)} AS kind, {columns} FROM {rows} WHERE account = 'host'"  # noqa: S608  # our own words

    def load(self, connection: "duckdb.DuckDBPyConnection", found: Iterable[FoundPlace] = ()) -> None:
        """Puts what places are booked to into a table of the connection; without any found, those that facts name."""
        places = list(found if self._singles is None else self._named(self._singles))
        # Numbers side by side: as a tuple for each booking, with all that it means, they take twice as long.
        at, from_ns, to_ns, whose = (array("q") for _ in range(4))
        until_ns: list[int | None] = []
        numbers = dict(_NAMED)
        for position, one in enumerate(places):
            for booking in self._booked(one):
                named = (booking.subject or UNKNOWN, booking.reason, booking.is_partly)
                at.append(position)
                from_ns.append(booking.from_ns)
                to_ns.append(booking.to_ns)
                until_ns.append(booking.until_ns)
                whose.append(numbers.setdefault(named, len(numbers)))
        self.has_ends = any(one is not None for one in until_ns)
        told = [*zip(*numbers, strict=True), tuple(numbers.values())]
        make_table(connection, NAMED, zip((*SUBJECT_COLUMNS, NUMBER), told, strict=True), order=NUMBER)
        seen = [range(len(places)), *(zip(*places, strict=True) if places else ((),) * len(_PLACE))]
        make_table(connection, "places", zip(("place", *_PLACE), seen, strict=True), order="place")
        spans: list[Sequence[object]] = [at, from_ns, to_ns, until_ns, whose]
        make_table(connection, "spans", zip(("place", *_SPAN, NUMBER), spans, strict=True), order="place")
        columns = ", ".join((*_PLACE, *_SPAN, NUMBER, "reason", "is_partly"))
        connection.execute(
            f"CREATE OR REPLACE TABLE {BOOKINGS} AS "  # noqa: S608  # our own words
            f"SELECT {columns}, CASE WHEN reason IS NULL THEN {NAMED}.subject END AS subject "
            f"FROM spans JOIN places USING (place) JOIN {NAMED} USING ({NUMBER}) ORDER BY from_ns"
        )

    def _booked(self, found: FoundPlace) -> list[Booking]:
        place = _place(kinds_of(self._lengths)[found[0]], *found[1:])
        segments = self._timeline.segments(place, self._grid.start_ns, self._grid.end_ns)
        return bookings(segments, self._grid, is_ever_held=bool(segments) or self._timeline.is_ever_held(place))

    def joined_sql(self, rows: str, *, start_ns: int, end_ns: int, columns: str = "counted.*") -> str:
        """The rows with :data:`SUBJECT_COLUMNS`; ``start_ns`` and ``end_ns`` hold the starts of all of them."""
        # Where only hosts matter the plain form is quicker, and rows without one are nobody's.
        sign = "=" if self._keys == ("host",) else "IS NOT DISTINCT FROM"
        is_same = [f"counted.{name} {sign} booked.{name}" for name in self._keys]
        if len(kinds_of(self._lengths)) > 1:
            is_same.append(f"{kind_sql(self._lengths)} = booked.kind")
        where = f"from_ns < {end_ns} AND to_ns > {start_ns}"
        return (
            f"SELECT {columns}, {_SUBJECT} AS subject, {_REASON} AS reason, "  # noqa: S608  # names, integers, quoted text
            f"coalesce(booked.is_partly AND counted.account = '{Account.HOST}', FALSE) AS is_partly, "
            f"{_IS_LONE} AS is_lone, "
            f"{_WHOSE if self._keys == ('host',) else _WHOSE_OF_HOSTS} AS {NUMBER} "
            f"FROM {rows} AS counted "
            f"LEFT JOIN (SELECT * FROM {BOOKINGS} WHERE {where}) AS booked ON {' AND '.join(is_same)} "
            "AND counted.interval_start >= booked.from_ns AND counted.interval_start < booked.to_ns "
            "AND (booked.until_ns IS NULL OR booked.until_ns = counted.interval_end)"
        )

    def is_ever_held(self, found: FoundPlace) -> bool:
        """Whether a place was anybody's at any time."""
        return self._timeline.is_ever_held(_place(kinds_of(self._lengths)[found[0]], *found[1:]))

    def _named(self, addresses: Iterable[bytes]) -> Iterator[FoundPlace]:
        for kind in range(len(kinds_of(self._lengths))):
            for address in addresses:
                yield kind, address, None, None


_Named = tuple[str | None, str | None, bool]
# Of rows without a booking.
_NAMED: Final[dict[_Named, int]] = {
    (UNKNOWN, NO_ASSIGNMENT, False): 0,
    (UNKNOWN, NO_HOST, False): 1,
    **{
        (str(one), None, False): 2 + place
        for place, one in enumerate(one for one in Account if one is not Account.HOST)
    },
}
UNBOOKED: Final = (
    f"CASE counted.account WHEN '{Account.HOST}' THEN CASE WHEN counted.host IS NULL THEN 1 ELSE 0 END "
    + " ".join(f"WHEN '{name}' THEN {number}" for (name, _, _), number in _NAMED.items() if number > 1)
    + " END"
)
"""The number of rows ``counted`` without a booking."""
# Rows that are no host's have no address. Where they may have an interface it takes a second look, at each row.
_WHOSE: Final = f"coalesce(booked.{NUMBER}, {UNBOOKED})"
_WHOSE_OF_HOSTS: Final = f"CASE WHEN counted.account = '{Account.HOST}' THEN {_WHOSE} ELSE {UNBOOKED} END"
# Of what is nobody's, and may get another reason by what is known of other times.
_IS_LONE: Final = (
    f"counted.account = '{Account.HOST}' AND booked.subject IS NULL "
    f"AND (booked.reason IS NULL OR booked.reason <> '{Reason.CONFLICT}')"
)
_SUBJECT: Final = (
    f"CASE WHEN counted.account <> '{Account.HOST}' THEN counted.account ELSE coalesce(booked.subject, '{UNKNOWN}') END"
)
_REASON: Final = (
    f"CASE WHEN counted.account <> '{Account.HOST}' OR booked.subject IS NOT NULL THEN NULL "
    f"WHEN booked.reason IS NOT NULL THEN booked.reason WHEN counted.host IS NULL THEN '{NO_HOST}' "
    f"ELSE '{NO_ASSIGNMENT}' END"
)


def pieces(files: Sequence[Path]) -> list[tuple[int, int, list[Path]]]:
    """Files of rows by the days in which their intervals begin: first moment, end, files. Not more than some dozens."""
    by_day: dict[str, list[Path]] = {}
    for file in files:
        by_day.setdefault(file.parent.name.removeprefix("day="), []).append(file)
    days = sorted(by_day)
    step = -(-len(days) // _PIECES_MAX) or 1
    return [
        (_start_of(group[0]), _start_of(group[-1]) + DAY_NS, list(chain.from_iterable(by_day[day] for day in group)))
        for group in (days[at : at + step] for at in range(0, len(days), step))
    ]


def packed(text: str) -> bytes:
    """An address as rows have it."""
    address = ipaddress.ip_address(text)
    return address.packed if isinstance(address, ipaddress.IPv6Address) else bytes(10) + b"\xff\xff" + address.packed


def _start_of(day: str) -> int:
    return parse_rfc3339(f"{day}T00:00:00Z")


def _place(lengths: Lengths, host: bytes | None, interface: str | None, mark: int | None) -> Place:
    return Place(host, ADDRESS_BITS if host is None else lengths.bits_of(host), interface, mark)


def make_table(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    columns: Iterable[tuple[str, Sequence[object]]],
    *,
    order: str = "host",
) -> None:
    """Makes a table of columns that bookings have. Through Arrow: value by value it takes a hundred times as long."""
    import pyarrow as pa

    kinds = {"host": pa.binary(), "mark": pa.uint32(), "is_partly": pa.bool_()}
    kinds |= dict.fromkeys(("interface", "subject", "reason"), pa.string())
    arrays = {column: pa.array(values, kinds.get(column, pa.int64())) for column, values in columns}
    connection.register("made", pa.table(arrays))
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM made ORDER BY {order}")  # noqa: S608  # our own words
    connection.unregister("made")
