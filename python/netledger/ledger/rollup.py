"""Hourly sums of each host: what a row of the table ``rollup_hour`` is, and how it is made.

A row of an hour is the sum over the rows of all intervals that begin in it, by node, meter, account and host. Its
interval is the hour in UTC. A file of rows is rolled up whole, and noted as such in the transaction that names the
hourly sums; what is committed later, also of the same hour, counts as rows until it is rolled up in its turn. So the
sums of an hour may lie in several files, until its day is closed and they are put into one.
"""

from typing import TYPE_CHECKING, Final

from netledger.intervals import HOUR_NS, SECOND_NS
from netledger.ledger.files import explained
from netledger.ledger.intervals import COUNTERS, ROLLUP_HOUR, TRAFFIC
from netledger.ledger.merging import Recipe, count, inputs_of, made_of, selected
from netledger.ledger.named import named_schema
from netledger.ledger.ordering import in_order
from netledger.ledger.reader import HOURLY_COLUMNS, NAMED_VIEW, VIEW, Reader
from netledger.ledger.rows import stored_schema
from netledger.ledger.store import Ledger
from netledger.schema import COUNTER_COLUMNS, NAMED_COUNTER_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

HOUR_CLOSED_AFTER_NS: Final = 120 * SECOND_NS
"""How long after its end an hour is rolled up: its last intervals are committed by then, as a rule."""

_ORDER: Final = "host, interval_start, node, meter, account"
_ADDED: Final = ", ".join(f"CAST(sum({name}) AS UBIGINT) AS {name}" for name in COUNTER_COLUMNS)
_GROUPS: Final = ", ".join(HOURLY_COLUMNS[: -len(COUNTER_COLUMNS)])
_START: Final = f"interval_start // {HOUR_NS} * {HOUR_NS}"
_COUNTED: Final = ", ".join(f"sum({name})" for name in COUNTER_COLUMNS)
_HOURS: Final = f"SELECT node, meter, {_START} AS hour, {{rows}}, {_COUNTED} FROM {VIEW} GROUP BY ALL ORDER BY ALL"  # noqa: S608  # our own words


def rollup_schema() -> "pa.Schema":
    """The Arrow types of :data:`~netledger.ledger.reader.HOURLY_COLUMNS` and ``row_count``."""
    import pyarrow as pa

    rows = stored_schema()
    return pa.schema(
        [*(rows.field(name) for name in HOURLY_COLUMNS), pa.field("row_count", pa.uint64(), nullable=False)]
    )


def hourly_select(rows: str) -> str:
    """The hourly sums of rows, as SQL; each key once."""
    return (
        f"WITH hours AS (SELECT {_START} AS hour, node, meter, account, host, {_ADDED}, "  # noqa: S608  # our own words
        f"CAST(count(*) AS UBIGINT) AS row_count FROM {rows} GROUP BY ALL) "
        f"SELECT hour AS interval_start, hour + {HOUR_NS} AS interval_end, * EXCLUDE (hour) FROM hours"
    )


HOURLY: Final = Recipe(
    name="rolled-up",
    tab_before=TRAFFIC,
    tab=ROLLUP_HOUR,
    is_replacing=False,
    read=selected(f"{hourly_select(VIEW)} ORDER BY {_ORDER}"),
    schema=rollup_schema,
    sums_before=_HOURS.format(rows="count(*)"),
    sums_after=_HOURS.format(rows="sum(row_count)"),
)
"""Rows of traffic become hourly sums, which count beside them."""

ONE_OF_HOURS: Final = Recipe(
    name="compacted",
    tab_before=ROLLUP_HOUR,
    tab=ROLLUP_HOUR,
    is_replacing=True,
    read=selected(
        f"SELECT {_GROUPS}, {_ADDED}, CAST(sum(row_count) AS UBIGINT) AS row_count "  # noqa: S608  # our own words
        f"FROM {VIEW} GROUP BY ALL ORDER BY {_ORDER}"
    ),
    schema=rollup_schema,
    sums_before=_HOURS.format(rows="sum(row_count)"),
    sums_after=_HOURS.format(rows="sum(row_count)"),
)
"""Hourly sums of a day become one file, instead of them."""

ONE_OF_ROWS: Final = Recipe(
    name="compacted",
    tab_before=TRAFFIC,
    tab=TRAFFIC,
    is_replacing=True,
    read=in_order,
    schema=stored_schema,
    sums_before=f"SELECT node, meter, seq, count(*), {_COUNTED} FROM {VIEW} GROUP BY ALL ORDER BY ALL",  # noqa: S608  # our own words
    sums_after=f"SELECT node, meter, seq, count(*), {_COUNTED} FROM {VIEW} GROUP BY ALL ORDER BY ALL",  # noqa: S608  # our own words
)
"""Rows of a day become one file, instead of them."""


_COUNTED_NAMED: Final = ", ".join(f"sum({name})" for name in NAMED_COUNTER_COLUMNS)
_SUMS_NAMED: Final = f"SELECT node, meter, seq, count(*), {_COUNTED_NAMED} FROM {NAMED_VIEW} GROUP BY ALL ORDER BY ALL"  # noqa: S608  # our own words

ONE_OF_COUNTERS: Final = Recipe(
    name="compacted",
    tab_before=COUNTERS,
    tab=COUNTERS,
    is_replacing=True,
    read=selected(f"SELECT * FROM {NAMED_VIEW} ORDER BY kind, name, interval_start, node, meter, seq"),  # noqa: S608  # as above
    schema=named_schema,
    sums_before=_SUMS_NAMED,
    sums_after=_SUMS_NAMED,
    view=Reader.named,
)
"""Rows of named counters of a day become one file, instead of them."""

_WITHOUT_ROLLUP: Final = (ONE_OF_HOURS, ONE_OF_COUNTERS)


def roll_up(ledger: Ledger, day: str, *, before_ns: int | None = None) -> bool:
    """Rolls up what is not rolled up yet of a day, and begins before a moment; says whether that was done.

    It is not where another process did it meanwhile. Blocks for the disk.

    Raises:
        LedgerError: the disk is full, broken or refuses.
        DamageError: a file is not what was committed, or a total would change. Nothing was changed.
    """
    with explained(ledger.store, f"roll up {day}"):
        waiting = [
            one
            for one in inputs_of(ledger.connection, TRAFFIC, day)
            if not one.is_rolled_up and (before_ns is None or one.start_ns < before_ns)
        ]
        return bool(waiting) and count(ledger, made_of(ledger, waiting, day, HOURLY), waiting, day, HOURLY)


def compact(ledger: Ledger, day: str) -> bool:
    """Puts the rows of a day into one file, ordered by host, after rolling them up, and their hourly sums into another.

    Rows of named counters become one file too. Says whether any was done; it is not where another process did it
    meanwhile. Blocks for the disk.

    Raises:
        LedgerError, DamageError: as :func:`roll_up`.
    """
    roll_up(ledger, day)
    is_done = False
    with explained(ledger.store, f"compact {day}"):
        for recipe in (ONE_OF_ROWS, ONE_OF_HOURS, ONE_OF_COUNTERS):
            inputs = [
                one
                for one in inputs_of(ledger.connection, recipe.tab_before, day)
                if one.is_rolled_up or recipe in _WITHOUT_ROLLUP
            ]
            # What is in sums by subject and what is not must not come into one file: nobody could tell them apart.
            inputs = [one for one in inputs if one.is_by_subject] or inputs
            if len(inputs) > 1:
                is_done |= count(ledger, made_of(ledger, inputs, day, recipe), inputs, day, recipe)
    return is_done


def closed_before_ns(now_ns: int) -> int:
    """The start of the hour that is not closed yet, UTC nanoseconds; all before it are."""
    return (now_ns - HOUR_CLOSED_AFTER_NS) // HOUR_NS * HOUR_NS
