"""Intervals whose rows follow from a seed, and what a store has of them: row for row, by plain Python.

Intervals are numbered from 1; odd numbers belong to the meter ``lan``, even ones to ``wan``. Twelve of each are a day.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pyarrow import parquet

from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger.reader import Reader, Snapshot
from netledger.ledger.rows import STORED_COLUMNS, ArrowRows
from netledger.ledger.verify import verify
from netledger.receipt import ZERO, Count, Receipt, parse_rfc3339, rfc3339
from tests.unit.booked import Booked
from tests.unit.rows import Row, batch, row

FIRST_NS = parse_rfc3339("2025-11-20T00:00:00Z")
METERS = ("lan", "wan")
PER_DAY = 12
SECONDS = 86_400 // PER_DAY
LATER_NS = FIRST_NS + 3650 * DAY_NS
"""All days of these intervals are closed by then."""

Identity = tuple[str, int]
Values = tuple[object, ...]
Sums = tuple[int, int, int, int, int]


@lru_cache(maxsize=4096)
def interval(seed: int, number: int) -> Booked:
    """An interval with its rows: most have a few, some have hundreds, some none; some lost packets."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311  (rows, not secrets)
    size = chance.choice([0, 1, 2, 3, 5, 8, 13]) if chance.random() < 0.95 else 400
    rows = [_row(chance) for _ in range(size)]
    if rows:
        rows.append(_counterpart(rows))
    lost = Count(7, 700) if chance.random() < 0.2 else ZERO
    return Booked(
        start=rfc3339(start_of(seq(number))),
        rows=rows,
        seconds=SECONDS,
        meter=METERS[(number - 1) % 2],
        lost=lost,
        why_lost="the socket's buffer was full" if lost != ZERO else None,
    )


def seq(number: int) -> int:
    return (number + 1) // 2


def start_of(place: int) -> int:
    """Where the intervals with this number of their meter begin, UTC nanoseconds."""
    return FIRST_NS + (place - 1) * SECONDS * SECOND_NS


def number_of(identity: Identity) -> int:
    meter, place = identity
    return 2 * place - 1 + METERS.index(meter)


def to_commit(seed: int, number: int) -> tuple[Receipt, ArrowRows]:
    """What the ledger is given."""
    one = interval(seed, number)
    return one.receipt(seq(number)), batch(one.rows)


def expected_rows(seed: int, number: int) -> Counter[Values]:
    """What must lie in the files, column by column as in STORED_COLUMNS; not made by the code under test."""
    one = interval(seed, number)
    start_ns = parse_rfc3339(one.start)
    head = {"interval_start": start_ns, "interval_end": start_ns + one.seconds * SECOND_NS, "node": one.node}
    head |= {"meter": one.meter, "seq": seq(number)}
    rows = list(one.rows)
    if one.lost != ZERO:
        both = (one.lost.bytes, one.lost.packets)
        rows.append(row("unattributed", sent=both, received=both))
    return Counter(tuple((head | dict(line)).get(name) for name in STORED_COLUMNS) for line in rows)


@lru_cache(maxsize=65_536)
def expected_sums(seed: int, number: int) -> Sums:
    """Number of rows, and the sums of the four counters."""
    lines = list(expected_rows(seed, number).elements())
    return len(lines), *(sum(_number(line[column]) for line in lines) for column in range(-4, 0))  # type: ignore[return-value]  # five numbers


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a store has of the intervals that were acknowledged; each list should be empty.

    ``lost`` are acknowledged and not there row for row, ``double`` there more than once, ``strange`` is the rest: what
    is there in part, what nobody committed, and what ``verify`` finds.
    """

    acknowledged: int
    found: int
    lost: list[str]
    double: list[str]
    strange: list[str]

    @property
    def problems(self) -> list[str]:
        return [*self.lost, *self.double, *self.strange]


def judge(store: Path, seed: int, acknowledged: int) -> Verdict:
    """Compares everything in a store with the intervals 1 to ``acknowledged``, and one more that may be there."""
    if acknowledged == 0 and not (store / "ledger.sqlite").exists():
        return Verdict(0, 0, [], [], [])
    snapshot = Reader(store).snapshot()
    there = Counter(number_of((one.meter, one.seq)) for one in snapshot.intervals)
    rows = rows_by_number(snapshot)
    lost, double, strange = [], [], []
    for number in range(1, max([acknowledged, *there, *rows]) + 1):
        expected, found = expected_rows(seed, number), rows.get(number, Counter())
        if there[number] > 1 or found > expected:
            double.append(f"{number}: {there[number]} times, with {found.total()} of {expected.total()} rows")
        elif number <= acknowledged and (not there[number] or found != expected):
            lost.append(f"{number}: {there[number]} times, with {found.total()} of {expected.total()} rows")
        elif number > acknowledged + 1 and (there[number] or found):
            strange.append(f"{number} is there, and only {acknowledged} were acknowledged")
        elif found != (expected if there[number] else Counter()):
            strange.append(f"{number}: {there[number]} times, with {found.total()} of {expected.total()} rows")
    strange += [str(problem) for problem in verify(Reader(store))]
    return Verdict(acknowledged, there.total(), lost, double, strange)


def unknown_files(store: Path) -> list[str]:
    """Files below ``data`` that the ledger does not name; there must be none after a writer has started alone."""
    listed = "SELECT path FROM files"
    known = {path for (path,) in Reader(store).read(lambda connection: connection.execute(listed).fetchall())}
    return sorted(
        str(path.relative_to(store))
        for path in (store / "data").rglob("*")
        if path.is_file() and str(path.relative_to(store)) not in known
    )


def rows_by_number(snapshot: Snapshot) -> dict[int, Counter[Values]]:
    """All rows of a snapshot, by number of their interval."""
    found: dict[int, Counter[Values]] = defaultdict(Counter)
    meter, place = STORED_COLUMNS.index("meter"), STORED_COLUMNS.index("seq")
    for path in snapshot.files:
        table = parquet.read_table(path, partitioning=None)
        nothing = [None] * table.num_rows
        columns = [table[name].to_pylist() if name in table.column_names else nothing for name in STORED_COLUMNS]
        for line in zip(*columns, strict=True):
            found[number_of((line[meter], line[place]))][line] += 1
    return found


def _row(chance: random.Random) -> Row:
    def count() -> tuple[int, int]:
        packets = chance.randrange(1 << chance.randrange(1, 30))
        return packets * chance.randrange(40, 1500), packets

    return row(
        "host",
        host=f"10.{chance.randrange(4)}.0.{chance.randrange(8)}" if chance.random() < 0.8 else "2001:db8::7",
        peer=chance.choice([None, "192.0.2.1", "2001:db8:1::1"]),
        sent=count(),
        received=count(),
        **(
            {"protocol": chance.choice([6, 17]), "host_port": chance.randrange(65_536)} if chance.random() < 0.5 else {}
        ),
        **({"label": chance.choice(["", "büro", "lager"])} if chance.random() < 0.5 else {}),
        # Some intervals have such a row, most have none: both kinds of files lie beside each other.
        **({"zone": chance.randrange(65_536), "mark": chance.randrange(1 << 32)} if chance.random() < 0.1 else {}),
    )


def _counterpart(rows: Sequence[Row]) -> Row:
    """The row of the other side: what all the others sent it received."""

    def sums(side: str) -> tuple[int, int]:
        return sum(_number(one[f"{side}_bytes"]) for one in rows), sum(_number(one[f"{side}_packets"]) for one in rows)

    return row("external", sent=sums("received"), received=sums("sent"))


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
