"""``netledger maintain``: housekeeping of the store."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
from pathlib import Path
from typing import Annotated

import typer

from netledger.cli.options import ConfigFile, Store, load_config


def maintain(
    *,
    config: ConfigFile = None,
    store: Store = None,
    keep_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="DAYS",
            help="Remove rows of intervals that began more than so many days ago; receipts stay. Default: keep all.",
        ),
    ] = None,
) -> None:
    """Make one file of each closed day, and remove files that do not count any more. Totals never change by it.

    It may run while `netledger run` counts, and be interrupted at any time.
    """
    from rich.console import Console
    from rich.progress import Progress

    from netledger.errors import LedgerError
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger
    from netledger.ledger import maintain as housekeeping

    directory = Path(load_config(config, store).store)
    if not directory.is_dir():
        # To make an empty store by mistake would hide the mistake.
        raise LedgerError(str(directory), "open", "there is no store", "see --store")
    ledger = Ledger(directory, clock=SystemClock())
    ledger.open()
    try:
        with Progress(console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task("")
            kept = housekeeping.maintain(
                ledger,
                keep_days=keep_days,
                progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            )
    finally:
        ledger.close()
    typer.echo(
        f"{_days(len(kept.days_compacted))} compacted, {_days(len(kept.days_dropped))} dropped, "
        f"{kept.files_removed} {'file' if kept.files_removed == 1 else 'files'} removed"
    )


def _days(number: int) -> str:
    return f"{number} {'day' if number == 1 else 'days'}"
