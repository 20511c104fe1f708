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
_SUBJECT: Final = ("subject", "reason")
_SEEN_OF_SUMS: Final = ("min(first_seen)", "max(last_seen)")
_SUMMED: Final = frozenset(("node", "meter", "account", "subject"))
BY_COLUMNS: Final = (
    *(column.name for column in ROW_COLUMNS if column.name not in (*COUNTER_COLUMNS, _INTERVAL[1])),
    _SUBJECT[0],
)
"""What totals can be told apart by; ``interval_start`` brings its end with it, and ``subject`` its reason."""

SEEN: Final = ("first_seen", "last_seen")
"""Where totals say when: the least start and the greatest end of an interval."""
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
        as_known_at_ns: whose the rows are by what was known then, UTC nanoseconds; None is now.
        with_seen: whether each total says when its first row begins and its last row ends.
    """

    period: Period
    by: tuple[str, ...]
    where: Filter
    per: Step | None = None
    sort: str = "bytes"
    top: int | None = None
    direction: str = "both"
    as_known_at_ns: int | None = None
    with_seen: bool = False

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
        if self.as_known_at_ns is not None and not self.is_of_subjects:
            raise UsageError("--as-known-at", "", "there is no question about subjects", "--by subject, --subject NAME")
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
        columns = [_SUBJECT if name == _SUBJECT[0] else (name,) for name in self.by if name not in _INTERVAL]
        return (*intervals, *(name for names in columns for name in names))

    @property
    def seen(self) -> tuple[str, ...]:
        """The columns that say when, behind the counters; none where nobody asks."""
        return SEEN if self.with_seen else ()

    @property
    def is_of_subjects(self) -> bool:
        """Whether it asks whose the rows are."""
        return _SUBJECT[0] in self.by or self.where.is_of_subjects

    def is_of_hours(self, borders: Iterable[int]) -> bool:
        """Whether hourly sums of hosts answer it, or sums by subject: it asks for no more, and cuts no hour of UTC.

        ``borders`` are those of the period and of its pieces, UTC nanoseconds.
        """
        columns = _SUMMED if self.is_of_subjects else _HOURLY
        return self._asked <= columns and all(border % HOUR_NS == 0 for border in borders)

    @property
    def is_of_subjects_alone(self) -> bool:
        """Whether it asks whose the rows are, and for nothing that would tell rows of a subject apart."""
        return self.is_of_subjects and self._asked <= _SUMMED

    @property
    def _asked(self) -> set[str]:
        return {*self.by, *self.where.columns}


def totals_sql(
    question: Question,
    steps: Sequence[tuple[int, int]],
    without: Sequence[Period] = (),
    *,
    has_numbers: bool = False,
) -> str:
    """The totals in their order, and behind them the total of all.

    ``has_numbers`` says that rows have a number that tells whose they are, and the table ``named`` what it means. What
    begins in ``without`` is left out. ``steps`` says of each start of an interval to which piece of the period it
    belongs; it is empty where the period is not cut. The columns of the answer: ``is_total``, ``step`` (NULL where the
    period is not cut), the keys, the counters, when it was seen where that is asked for, the place, and in the last row
    alone: bytes, sent and received together, of addresses that their subject held for a part of the interval, and how
    many totals there are.
    """
    keys = ["step", *question.keys]
    top = "" if question.top is None else f"WHERE place <= {question.top}"
    counters = ", ".join((*question.counters, *question.seen))
    sums = [f"coalesce(sum({name}), 0)" for name in question.counters] + ["NULL" for _ in question.seen]
    return f"""
WITH {_steps(steps) if question.per else ""}sums AS (
{_subject_sums(question, without, has_numbers=has_numbers) if question.is_of_subjects else _sums(question, without)}
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY step ORDER BY {_order(question)}) AS place FROM sums
)
SELECT 0 AS is_total, {", ".join(keys)}, {counters}, place, NULL AS partly, CAST(NULL AS BIGINT) AS totals
    FROM ranked {top}
UNION ALL
SELECT 1, {", ".join("NULL" for _ in keys)}, {", ".join(sums)},
    NULL, coalesce(sum(partly), 0), count(*) FROM sums
ORDER BY is_total, step, place
"""  # noqa: S608  # made of names from the schema, integers, and values that were quoted where they were understood


def _sums(question: Question, without: Sequence[Period], told_by: Sequence[str] | None = None) -> str:
    """The totals without their order; told apart by other columns if asked, and then those without traffic too."""
    keys = [f"traffic.{name}" for name in (question.keys if told_by is None else told_by)]
    step = "steps.step" if question.per else "CAST(NULL AS BIGINT)"
    sums = ", ".join(f"CAST(sum(traffic.{name}) AS DECIMAL(38, 0)) AS {name}" for name in question.counters)
    groups = ", ".join([*(["steps.step"] if question.per else []), *keys])
    having = " OR ".join(f"sum(traffic.{name}) > 0" for name in question.counters)
    seen = _seen(question, "min(traffic.interval_start)", "max(traffic.interval_end)")
    return f"""
    SELECT {", ".join([f"{step} AS step", *keys])}, {sums}{seen}, 0 AS partly
    FROM traffic{" JOIN steps ON traffic.interval_start = steps.interval_start" if question.per else ""}
    WHERE {_chosen(question.period, without, "traffic.")} AND {question.where.sql}
    {f"GROUP BY {groups}" if groups else ""}
    {f"HAVING {having}" if told_by is None else ""}"""  # noqa: S608  # as above


def _seen(question: Question, first: str, last: str) -> str:
    return "".join(f", {told} AS {name}" for name, told in zip(question.seen, (first, last), strict=False))


def _subject_sums(question: Question, without: Sequence[Period], *, has_numbers: bool) -> str:
    """The same with what of it rests on addresses that their subject held for a part of the interval."""
    by_number = has_numbers and _SUBJECT[0] in question.by
    told_by = [name for name in question.keys if not (by_number and name in _SUBJECT)]
    keys = ", ".join(("step", *question.keys))
    sums = ", ".join(f"sum({name}) AS {name}" for name in question.counters)
    octets = " + ".join(name for name in question.counters if name.endswith("bytes"))
    having = " OR ".join(f"sum({name}) > 0" for name in question.counters)
    return f"""
    SELECT {keys}, {sums}{_seen(question, *_SEEN_OF_SUMS)}, sum(CASE WHEN is_partly THEN {octets} ELSE 0 END) AS partly
    FROM ({_sums(question, without, [*told_by, "whose" if by_number else "is_partly"])}) AS parts
    {"JOIN named ON parts.whose = named.whose" if by_number else ""}
    GROUP BY {keys}
    HAVING {having}"""  # noqa: S608  # as above


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
