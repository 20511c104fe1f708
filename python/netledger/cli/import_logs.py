"""``netledger import`` of logs: what nacctd has written, line by line."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import typer

from netledger.cli.progress import progress_bar
from netledger.errors import OldFileError, UsageError

if TYPE_CHECKING:
    from netledger.imports.nacctd.wish import LogWish

EXIT_FAILED: Final = 1
_LISTED_MAX: Final = 20


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every kind of file may be asked for.

    Attributes:
        node: the machine that counted.
        meter: what the accounting is called.
        timezone: whose clock, or None for the machine's.
        interval: how long a period is, as it was given.
        is_dry_run: nothing is to be booked.
        is_json: programs want to know what was done.
    """

    node: str
    meter: str
    timezone: str | None
    interval: str | None
    is_dry_run: bool
    is_json: bool


def import_logs(
    files: Sequence[Path],
    asked: Asked,
    store: Path,
    fields: str | None,
    users_in: Sequence[str],
    users_not_in: Sequence[str],
    delay: str | None,
) -> None:
    """Books what is new in some logs, and tells what that was.

    Raises:
        typer.Exit: a file was refused.
        UsageError: something is asked that cannot be.
        LedgerError: the store cannot be written.
    """
    from netledger.imports.nacctd.book import Booking
    from netledger.imports.nacctd.plan import plan
    from netledger.imports.nacctd.summary import Outcome
    from netledger.imports.nacctd.wish import NAME
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger
    from netledger.ledger.assignments import Assignments
    from netledger.ledger.imported import imported_log, one_at_a_time
    from netledger.ledger.reader import Reader
    from netledger.reports.zones import find

    wish, zone, done = _wish(asked, fields, users_in, users_not_in, delay), find(asked.timezone), None
    reader = Reader(store)
    with progress_bar() as progress:
        if asked.is_dry_run:
            todo = plan(files, wish, imported_log(reader, node=wish.node, meter=wish.meter, kind=NAME), progress)
        else:
            with one_at_a_time(store):
                known = imported_log(reader, node=wish.node, meter=wish.meter, kind=NAME)
                todo = plan(files, wish, known, progress)
                ledger = Ledger(store, clock=SystemClock())
                try:
                    if todo.is_new:
                        ledger.open()
                    booking = Booking(ledger, Assignments(store, SystemClock()), wish, todo, known)
                    done = booking.book(progress)
                finally:
                    ledger.close()
    outcome = Outcome(wish, todo, done, zone)
    tell_refused(todo.refused)
    if asked.is_json:
        typer.echo(json_text.dumps(outcome.to_json(), ensure_ascii=False, indent=2))
    else:
        for line in outcome.lines():
            typer.echo(line)
    if todo.refused:
        raise typer.Exit(EXIT_FAILED)


def tell_refused(refused: Sequence[OldFileError]) -> None:
    """Says which files were refused, and why."""
    for error in refused[:_LISTED_MAX]:
        typer.echo(str(error), err=True)
        if error.hint is not None:
            typer.echo(f"hint: {error.hint}", err=True)
    if len(refused) > _LISTED_MAX:
        typer.echo(f"netledger: {len(refused) - _LISTED_MAX} more files are refused", err=True)


def _wish(
    asked: Asked, fields: str | None, users_in: Sequence[str], users_not_in: Sequence[str], delay: str | None
) -> "LogWish":
    from netledger.config import durations
    from netledger.config.options import interval_seconds
    from netledger.imports.nacctd.fields import parse
    from netledger.imports.nacctd.users import UserNetworks
    from netledger.imports.nacctd.wish import DELAY_SECONDS, LogWish

    delay_seconds = DELAY_SECONDS if delay is None else durations.parse(delay)
    if delay_seconds is None:
        raise UsageError(f"--delay {delay}", "", "no duration", "as in 6m, 90s")
    return LogWish(
        node=asked.node,
        meter=asked.meter,
        fields=None if fields is None else parse(fields),
        networks=UserNetworks.parse(users_in, users_not_in),
        period_seconds=None if asked.interval is None else interval_seconds("--interval", asked.interval),
        delay_seconds=delay_seconds,
    )
