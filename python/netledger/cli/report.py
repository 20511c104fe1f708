"""``netledger report``: totals of a period out of the ledger."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import (
    BillingDay,
    ConfigFile,
    Json,
    Store,
    Timezone,
    is_for_people,
    one_of,
    readable_config,
    standard_output,
)
from netledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netledger.config import Config
    from netledger.ledger.reader import Reader
    from netledger.reports.periods import Calendar, Period
    from netledger.reports.subject_names import Stranger
    from netledger.reports.totals import Answer
    from netledger.reports.units import Unit
    from netledger.reports.written import Prefixes
    from netledger.reports.zones import Zone

EXIT_DOUBTFUL: Final = 3
"""Done, but not all of it is proven or complete."""
# More rows than this are for programs.
TABLE_ROWS: Final = 100
"""Of a table, where nobody says how many."""

_Period = Annotated[
    str,
    typer.Option(
        metavar="PERIOD",
        help="today, yesterday, this-week, last-month, 2026, 2026-11, 2026-W47, 2026-11-20, or START..END without END.",
    ),
]
_By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="What totals are told apart by: interval_start, node, meter, account, host, peer, protocol, host_port, "
        "peer_port, interface, label, zone, mark, subject. Default: account,host, and meter if there are several; with "
        "--subject: subject. Empty: one total.",
    ),
]
_Per = Annotated[
    str | None, typer.Option(metavar="STEP", help="A series: totals of each hour, day, week, month, year.")
]
_Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Only some rows, as in host=10.1.0.0/16, proto!=udp, port=80,443. Words: host, peer, address, protocol, "
        "port, host_port, peer_port, interface, label, zone, mark, account, meter, node, subject. Repeatable.",
    ),
]
_Subject = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="NAME", help="Only what was NAME's; short for --where subject=NAME. Repeatable."),
]
AsKnownAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Whose it was by what was known then. Default: by what is known now."),
]
_Sort = Annotated[
    str, typer.Option(metavar="COLUMN", help="bytes, packets or a column; greatest counter or least name first.")
]
Top = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Only the first N totals of each step. Default: all; 100 in the table."),
]
_Direction = Annotated[str, typer.Option(metavar="WAY", help="Only what hosts sent or received: both, sent, received.")]
UnitOption = Annotated[
    str, typer.Option(metavar="UNIT", help="Of bytes in the table: auto, B, KB to EB (1000s), KiB to EiB (1024s).")
]
_Names = Annotated[
    bool,
    typer.Option("--names", help="Ask the DNS for names of addresses, for 2 seconds at most, and show them beside."),
]
_Meter = Annotated[
    str | None, typer.Option("--meter", hidden=True, help="No option of this command: see --where meter=NAME.")
]
_Counters = Annotated[
    bool,
    typer.Option(
        "--counters",
        help="Named counters of the kernel instead of traffic, by name and kind. --by takes node, meter, kind, name; "
        "--where takes name and kind, with * and ?, and meter and node.",
    ),
]
Parquet = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Parquet file, for programs.")]


def report(
    *,
    period: _Period = "today",
    billing_day: BillingDay = 1,
    timezone: Timezone = None,
    by: _By = None,
    per: _Per = None,
    where: _Where = None,
    subject: _Subject = None,
    as_known_at: AsKnownAt = None,
    sort: _Sort = "bytes",
    top: Top = None,
    direction: _Direction = "both",
    unit: UnitOption = "auto",
    names: _Names = False,
    counters: _Counters = False,
    meter: _Meter = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for programs.")] = False,
    json: Json = False,
    parquet: Parquet = None,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Add up what the ledger holds of a period, and say how far it is proven.

    Exit code 3: an interval is lossy or was interrupted, or the ledger does not cover the period whole.
    """
    from netledger.intervals import SystemClock
    from netledger.ledger.reader import Reader
    from netledger.reports import zones
    from netledger.reports.periods import Calendar
    from netledger.reports.remarks import doubts
    from netledger.reports.units import Unit

    if meter is not None:
        raise UsageError("--meter", "", "no such option", f"--where meter={meter}")
    is_table, shown_unit = is_for_people(csv=csv, json=json, parquet=parquet), Unit(one_of("--unit", unit, [*Unit]))
    _refuse_with_counters(per, subject, as_known_at, is_asked=counters, is_more=names or direction != "both")
    calendar = Calendar(zone=zones.find(timezone), billing_day=billing_day)
    now_ns = SystemClock().now().wall_ns
    settings = readable_config(config, store, needed=("store",)).config
    asked = _Asked(
        period=calendar.period(period, now_ns=now_ns),
        by=(("subject",) if subject else None) if by is None else _columns(by),
        where=(*(where or ()), *(f"subject={name}" for name in subject or ())),
        per=per,
        sort=sort,
        top=top or (TABLE_ROWS if is_table else None),
        direction=direction,
        as_known_at_ns=None if as_known_at is None else calendar.known_at("--as-known-at", as_known_at, now_ns=now_ns),
    )
    reader = Reader(Path(settings.store))
    found = (_of_counters if counters else _of_traffic)(reader, asked, calendar, now_ns)
    prefixes, table_unit = prefixes_of(settings, found), shown_unit if is_table else None
    found = _named(found, prefixes, now_ns) if names else found
    print_answer(found, prefixes, calendar.zone, table_unit=table_unit, json=json, parquet=parquet)
    if doubts(found, calendar.zone):
        raise typer.Exit(EXIT_DOUBTFUL)


def _refuse_with_counters(
    per: str | None, subject: list[str] | None, as_known_at: str | None, *, is_asked: bool, is_more: bool
) -> None:
    if is_asked and (is_more or per is not None or subject or as_known_at is not None):
        cause = "cannot go with --per, --direction, --names, --subject or --as-known-at"
        raise UsageError("--counters", "", cause, "counters have no addresses")


@dataclass(frozen=True, slots=True)
class _Asked:
    """The command line, as far as it says what is to be added up."""

    period: "Period"
    by: tuple[str, ...] | None
    where: tuple[str, ...]
    per: str | None
    sort: str
    top: int | None
    direction: str
    as_known_at_ns: int | None


def _of_traffic(reader: "Reader", asked: _Asked, calendar: "Calendar", now_ns: int) -> "Answer":
    from netledger.reports.periods import Step
    from netledger.reports.question import Question
    from netledger.reports.subject_names import strangers
    from netledger.reports.totals import answer, default_by
    from netledger.reports.where import understand

    conditions = understand(asked.where)
    snapshot = reader.snapshot(start_ns=asked.period.start_ns, end_ns=asked.period.end_ns)
    question = Question(
        period=asked.period,
        by=default_by(snapshot, conditions) if asked.by is None else asked.by,
        where=conditions,
        per=None if asked.per is None else Step(one_of("--per", asked.per, [*Step])),
        sort=asked.sort,
        top=asked.top,
        direction=asked.direction,
        as_known_at_ns=asked.as_known_at_ns,
    )
    found = answer(reader, snapshot, question, calendar, now_ns=now_ns)
    tell_strangers(strangers(reader, conditions.subjects, as_known_at_ns=asked.as_known_at_ns))
    return found


def tell_strangers(strangers: "Iterable[Stranger]") -> None:
    """Says on standard error which subjects nothing is known of: an empty answer does not tell a slip from silence."""
    for one in strangers:
        typer.echo(f"netledger: {one}\nhint: {one.hint}", err=True)


def _of_counters(reader: "Reader", asked: _Asked, _calendar: "Calendar", now_ns: int) -> "Answer":
    from netledger.reports.counters import NamedWhere, answer

    where = NamedWhere(asked.where)
    snapshot = reader.snapshot(start_ns=asked.period.start_ns, end_ns=asked.period.end_ns)
    return answer(reader, snapshot, asked.period, where, by=asked.by, sort=asked.sort, top=asked.top, now_ns=now_ns)


def _columns(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def prefixes_of(config: "Config", answer: "Answer") -> "Prefixes":
    """What the meters keep of an address, as far as they agree in it."""
    from netledger.reports.written import Prefixes

    meters = {one.meter for one in answer.intervals}
    lengths = {
        (one.prefix_length.ipv4, one.prefix_length.ipv6) for name, one in config.meters.items() if name in meters
    }
    if len(lengths) != 1:
        return Prefixes()
    ((ipv4, ipv6),) = lengths
    return Prefixes(ipv4=ipv4, ipv6=ipv6)


def _named(answer: "Answer", prefixes: "Prefixes", now_ns: int) -> "Answer":
    from netledger.reports import names

    wanted = names.addresses_of(answer, is_whole=lambda address: "/" not in prefixes.text(address))
    found = names.remembered(names.default_memory(), wanted, now_ns=now_ns)
    if found.unanswered:
        typer.echo(f"netledger: no answer about the names of {found.unanswered} of {len(wanted)} addresses", err=True)
    return names.with_names(answer, found)


def print_answer(
    answer: "Answer",
    prefixes: "Prefixes",
    zone: "Zone",
    *,
    table_unit: "Unit | None",
    json: bool,
    parquet: Path | None,
) -> None:
    """Prints a table if there is a unit for it, else what is for programs."""
    from netledger.reports import remarks, written

    if table_unit is not None:
        with standard_output():
            written.print_table(answer, prefixes, zone, table_unit, sys.stdout)
        return
    for sentence in remarks.doubts(answer, zone):
        typer.echo(f"netledger: not proven or complete: {sentence}", err=True)
    if parquet is not None:
        written.write_parquet(answer, prefixes, zone, parquet)
        return
    with standard_output():
        if json:
            written.write_json(answer, prefixes, zone, sys.stdout)
        else:
            written.write_csv(answer, prefixes, sys.stdout)
