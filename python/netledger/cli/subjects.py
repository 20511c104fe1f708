"""``netledger subjects``: whose traffic there was, and what each of them has now."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from pathlib import Path
from typing import Annotated

import typer

from netledger.cli.options import BillingDay, ConfigFile, Json, Store, Timezone, is_for_people, one_of, readable_config
from netledger.cli.report import EXIT_DOUBTFUL, TABLE_ROWS, AsKnownAt, Parquet, UnitOption, prefixes_of, print_answer


def subjects(
    period: Annotated[
        str, typer.Argument(metavar="[PERIOD]", help="As in --period of report: today, 2026-11, START..END.")
    ] = "this-month",
    *,
    billing_day: BillingDay = 1,
    timezone: Timezone = None,
    as_known_at: AsKnownAt = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="bytes, packets, subject or a counter; greatest or least name first.")
    ] = "bytes",
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the first N. Default: all; 100 in the table.")
    ] = None,
    unit: UnitOption = "auto",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for programs.")] = False,
    json: Json = False,
    parquet: Parquet = None,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Print who used how much, when each was first and last seen in the period, and what is assigned to each now.

    Who has something and no traffic stands last. Exit code 3: an interval is lossy or was interrupted, or the ledger
    does not cover the period whole.
    """
    from netledger.intervals import SystemClock
    from netledger.ledger.reader import Reader
    from netledger.reports import subjects as shown
    from netledger.reports import zones
    from netledger.reports.periods import Calendar
    from netledger.reports.question import Question
    from netledger.reports.remarks import doubts
    from netledger.reports.totals import answer
    from netledger.reports.units import Unit
    from netledger.reports.where import understand

    is_table, shown_unit = is_for_people(csv=csv, json=json, parquet=parquet), Unit(one_of("--unit", unit, [*Unit]))
    calendar = Calendar(zone=zones.find(timezone), billing_day=billing_day)
    now_ns = SystemClock().now().wall_ns
    settings = readable_config(config, store, needed=("store",)).config
    question = Question(
        period=calendar.period(period, now_ns=now_ns),
        by=("subject",),
        where=understand(()),
        sort=sort,
        top=top or (TABLE_ROWS if is_table else None),
        as_known_at_ns=None if as_known_at is None else calendar.known_at("--as-known-at", as_known_at, now_ns=now_ns),
        with_seen=True,
    )
    reader = Reader(Path(settings.store))
    snapshot = reader.snapshot(start_ns=question.period.start_ns, end_ns=question.period.end_ns)
    found = answer(reader, snapshot, question, calendar, now_ns=now_ns)
    held = shown.targets_at(reader, now_ns, as_known_at_ns=question.as_known_at_ns)
    found = shown.with_targets(found, held)
    table_unit = shown_unit if is_table else None
    print_answer(found, prefixes_of(settings, found), calendar.zone, table_unit=table_unit, json=json, parquet=parquet)
    if doubts(found, calendar.zone):
        raise typer.Exit(EXIT_DOUBTFUL)
