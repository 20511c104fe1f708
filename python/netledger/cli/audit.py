"""``netledger audit``: are the books balanced, and is the store what was committed?"""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import BillingDay, ConfigFile, Json, Store, Timezone, readable_config
from netledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netledger.ledger.intervals import IntervalRow
    from netledger.ledger.reader import Reader
    from netledger.ledger.verify import Problem
    from netledger.reports.where import Filter

_EXIT_INCOMPLETE: Final = 3
_EXIT_TAMPERED: Final = 4

_Period = Annotated[
    str | None,
    typer.Option(metavar="PERIOD", help="Whose intervals, as in report: yesterday, 2026-11 …. Default: all there are."),
]
_Where = Annotated[
    list[str] | None,
    typer.Option(metavar="CONDITION", help="Only some meters or nodes, as in meter=lan or node!=gw2. Repeatable."),
]


def audit(
    *,
    period: _Period = None,
    billing_day: BillingDay = 1,
    timezone: Timezone = None,
    where: _Where = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Exit code 3 also for times in which a meter was stopped or had not begun."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compute every row, receipt, file and the chain once more; reads the whole store."
        ),
    ] = False,
    config: ConfigFile = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Say whether the books balance: what the kernel counted, what was accounted, what is lost, and why.

    Exit code 3: an interval is lossy, interrupted or missing, a time was counted twice, or the period is empty.
    Exit code 4: something was changed or is damaged.
    """
    from netledger.errors import DamageError
    from netledger.intervals import SystemClock
    from netledger.ledger.reader import Reader
    from netledger.reports import audited, zones
    from netledger.reports.aligned import width_of, wrapped
    from netledger.reports.books import books
    from netledger.reports.periods import Calendar

    calendar = Calendar(zone=zones.find(timezone), billing_day=billing_day)
    now_ns = SystemClock().now().wall_ns
    span = None if period is None else calendar.period(period, now_ns=now_ns)
    conditions = _of_meters(where or ())
    reader = Reader(Path(readable_config(config, store, needed=("store",)).config.store))
    try:
        found = books(reader, span, conditions, now_ns=now_ns)
        problems = _verified(reader) if verify else None
        ends = _ends(reader) if verify and not problems else []
    except DamageError as error:
        # So much is wrong that there is no list of intervals to speak of.
        typer.echo(f"netledger: {error}", err=True)
        raise typer.Exit(_EXIT_TAMPERED) from error
    if json:
        shape = audited.to_json(found)
        if problems is not None:
            shape["problems"] = [{"what": problem.what, "why": problem.why} for problem in problems]
        typer.echo(json_text.dumps(shape, ensure_ascii=False, indent=2))
    else:
        told = [*audited.lines(found, calendar.zone), *_outcome(problems or (), ends)]
        typer.echo("\n".join(wrapped(told, width_of(sys.stdout))))
    if problems:
        raise typer.Exit(_EXIT_TAMPERED)
    if not found.is_sound(is_gap_allowed=not complete):
        raise typer.Exit(_EXIT_INCOMPLETE)


def _of_meters(texts: "Sequence[str]") -> "Filter":
    from netledger.reports.where import understand

    conditions = understand(texts)
    if conditions.is_of_rows:
        raise UsageError(
            f"--where {texts[0]}", "", "an audit is of whole intervals", "only meter and node can be chosen"
        )
    return conditions


def _verified(reader: "Reader") -> "list[Problem]":
    from netledger.cli.progress import progress_bar
    from netledger.ledger.verify import verify

    with progress_bar() as progress:
        return verify(reader, progress=progress)


def _outcome(problems: "Sequence[Problem]", ends: "Sequence[IntervalRow]") -> "Iterator[str]":
    for problem in problems:
        yield f"not what was committed: {problem}"
    for last in ends:
        yield f"verified    {last.node}: {last.position} intervals, chain ends with {last.chain.hex()}"


def _ends(reader: "Reader") -> "list[IntervalRow]":
    """The last interval of each node's chain."""
    ends: dict[str, IntervalRow] = {}
    snapshot = reader.snapshot()
    for one in (*snapshot.intervals, *snapshot.counters):
        if one.node not in ends or ends[one.node].position < one.position:
            ends[one.node] = one
    return [ends[node] for node in sorted(ends)]
