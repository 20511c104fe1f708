"""What a report is asked for, and the SQL that answers it.

The SQL keeps to what every engine knows: integers for times, joins on equal values, ranges in WHERE.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from netledger.errors import UsageError
from netledger.intervals import HOUR_NS
from netledger.reports.periods import Period, Step
from netledger.reports.where import Filter
from netledger.schema import COUNTER_COLUMNS, ROW_COLUMNS

DEFAULT_BY: Final = ("account", "host")

_INTERVAL: Final = ("interval_start", "interval_end")
_HOURLY: Final = frozenset(("node", "meter", "account", "host"))
BY_COLUMNS: Final = tuple(column.name for column in ROW_COLUMNS if column.name not in (*COUNTER_COLUMNS, _INTERVAL[1]))
"""What totals can be told apart by; ``interval_start`` brings the end of the interval with it."""

SORT_WORDS: Final = ("bytes", "packets")
DIRECTIONS: Final = ("both", "sent", "received")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be added up.

    Attributes:
        period: whose intervals; an interval belongs to the period in which it begins.
        by: the columns that tell totals apart.
        where: which rows.
        per: what the period is cut into, or None.
        sort: ``bytes``, ``packets``, a counter or one of ``by``.
        top: how many totals are given, of each piece of the period; None for all.
        direction: ``both``, ``sent`` or ``received``.
    """

    period: Period
    by: tuple[str, ...]
    where: Filter
    per: Step | None = None
    sort: str = "bytes"
    top: int | None = None
    direction: str = "both"

    def __post_init__(self) -> None:
        """Refuses what cannot be answered.

        Raises:
            UsageError: so it is.
        """
        for column in self.by:
            if column not in BY_COLUMNS:
                raise UsageError(f"--by {column}", "", "no such column", f"there are {', '.join(BY_COLUMNS)}")
        if self.direction not in DIRECTIONS:
            raise UsageError(f"--direction {self.direction}", "", "no such direction", ", ".join(DIRECTIONS))
        if self.per is not None and _INTERVAL[0] in self.by:
            raise UsageError(f"--per {self.per}", "", "cannot go with --by interval_start", "leave one of them out")
        known = (*SORT_WORDS, *self.counters, *self.by)
        if self.sort not in known:
            raise UsageError(f"--sort {self.sort}", "", "not among the columns", f"there are {', '.join(known)}")

    @property
    def counters(self) -> tuple[str, ...]:
        """The counters of the directions asked for."""
        return tuple(name for name in COUNTER_COLUMNS if self.direction == "both" or name.startswith(self.direction))

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that rows are told apart by, the interval first."""
        intervals = _INTERVAL if _INTERVAL[0] in self.by else ()
        return (*intervals, *(name for name in self.by if name not in _INTERVAL))

    def is_of_hours(self, borders: Iterable[int]) -> bool:
        """Whether hourly sums of hosts answer it: it asks for nothing that they have not, and cuts no hour of UTC.

        ``borders`` are those of the period and of its pieces, UTC nanoseconds.
        """
        asked = {*self.by, *self.where.columns}
        return asked <= _HOURLY and all(border % HOUR_NS == 0 for border in borders)


def totals_sql(question: Question, steps: Sequence[tuple[int, int]], without: Sequence[Period] = ()) -> str:
    """The totals in their order, and behind them the total of all.

    What begins in ``without`` is left out. ``steps`` says of each start of an interval to which piece of the period it
    belongs; it is empty where the period is not cut. The columns of the answer: ``is_total``, ``step`` (NULL where the
    period is not cut), the keys, the counters, and ``totals``, how many totals there are (NULL but in the last row).
    """
    keys = ["step", *question.keys]
    step = "steps.step" if question.per else "CAST(NULL AS BIGINT)"
    sums = ", ".join(f"CAST(sum(traffic.{name}) AS DECIMAL(38, 0)) AS {name}" for name in question.counters)
    columns = "".join(f", traffic.{name}" for name in question.keys)
    groups = ", ".join([*(["steps.step"] if question.per else []), *(f"traffic.{name}" for name in question.keys)])
    having = " OR ".join(f"sum(traffic.{name}) > 0" for name in question.counters)
    top = "" if question.top is None else f"WHERE place <= {question.top}"
    counters = ", ".join(question.counters)
    return f"""
WITH {_steps(steps) if question.per else ""}sums AS (
    SELECT {step} AS step{columns}, {sums}
    FROM traffic{" JOIN steps ON traffic.interval_start = steps.interval_start" if question.per else ""}
    WHERE {_chosen(question.period, without, "traffic.")} AND {question.where.sql}
    {f"GROUP BY {groups}" if groups else ""}
    HAVING {having}
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY step ORDER BY {_order(question)}) AS place FROM sums
)
SELECT 0 AS is_total, {", ".join(keys)}, {counters}, place, CAST(NULL AS BIGINT) AS totals FROM ranked {top}
UNION ALL
SELECT 1, {", ".join("NULL" for _ in keys)}, {", ".join(f"coalesce(sum({name}), 0)" for name in question.counters)},
    NULL, count(*) FROM sums
ORDER BY is_total, step, place
"""  # noqa: S608  # made of names from the schema, integers, and values that were quoted where they were understood


def undetailed_sql(question: Question, without: Sequence[Period] = (), *, is_of_hours: bool = False) -> str:
    """How many rows of hosts lack a column that a condition asks about, column by column."""
    rows = "row_count" if is_of_hours else "1"
    counts = ", ".join(
        f"CAST(coalesce(sum(CASE WHEN {column} IS NULL THEN {rows} ELSE 0 END), 0) AS BIGINT) AS {column}"
        for column in question.where.columns
    )
    return (
        f"SELECT {counts} FROM traffic "  # noqa: S608  # as above
        f"WHERE account = 'host' AND {_chosen(question.period, without)} AND {question.where.interval_sql}"
    )


def _steps(steps: Iterable[tuple[int, int]]) -> str:
    # A union would do everywhere, but takes an engine long to read.
    values = ", ".join(f"({start}, {step})" for start, step in steps) or "(-1, -1)"
    return f"steps (interval_start, step) AS (VALUES {values}), "


def _chosen(period: Period, without: Iterable[Period], prefix: str = "") -> str:
    inside = _within(period, prefix)
    return " AND ".join([inside, *(f"NOT ({_within(one, prefix)})" for one in without)])


def _within(period: Period, prefix: str) -> str:
    return f"{prefix}interval_start >= {period.start_ns} AND {prefix}interval_start < {period.end_ns}"


def _order(question: Question) -> str:
    """By what was asked for, and then by the keys, so that the same rows always come in the same order."""
    rest = [f"{name} ASC NULLS LAST" for name in question.keys if name != question.sort]
    if question.sort in question.keys:
        return ", ".join([f"{question.sort} ASC NULLS LAST", *rest])
    if question.sort in SORT_WORDS:
        added = " + ".join(name for name in question.counters if name.endswith(f"_{question.sort}"))
    else:
        added = question.sort
    return ", ".join([f"{added} DESC", *rest])
