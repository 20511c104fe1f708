"""``netledger maintain``: housekeeping of the store."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config

if TYPE_CHECKING:
    from netledger.ledger.maintain import Kept
    from netledger.ledger.progress import Progress

_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")


def maintain(
    *,
    config: ConfigFile = None,
    store: Store = None,
    keep_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="DAYS",
            help="Remove rows of days that began more than so many days ago; hourly sums of hosts and receipts stay. "
            "Default: as configured, else keep all.",
        ),
    ] = None,
    keep_rollup_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="DAYS",
            help="Remove hourly sums too, after so many days, never before the rows. Default: as configured, else no.",
        ),
    ] = None,
    idle: Annotated[
        bool,
        typer.Option("--idle", help="Take only what nobody else wants of processor and disk; the first to be killed."),
    ] = False,
    json: Json = False,
) -> None:
    """Add up closed hours by host, make one file of each closed day, and remove what is too old or does not count.

    Totals never change by it. It may run while `netledger run` counts, and be interrupted at any time.
    """
    from netledger.errors import LedgerError
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger
    from netledger.ledger import maintain as housekeeping

    if idle:
        _step_aside()
    settings = load_config(config, store)
    keep = settings.ledger
    directory = Path(settings.store)
    if not directory.is_dir():
        # To make an empty store by mistake would hide the mistake.
        raise LedgerError(str(directory), "open", "there is no store", "see --store")
    ledger = Ledger(directory, clock=SystemClock())
    ledger.open()
    try:
        with _progress() as progress:
            kept = housekeeping.maintain(
                ledger,
                keep_days=keep_days or keep.keep_detail_days,
                keep_rollup_days=keep_rollup_days or keep.keep_rollups_days,
                progress=progress,
            )
    finally:
        ledger.close()
    typer.echo(json_text.dumps(_as_json(kept), indent=2) if json else _as_text(kept))


def _step_aside() -> None:
    """As far as the kernel lets it; its I/O is idle too, for that goes by the class of the processor."""
    with suppress(OSError):
        os.nice(19)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        _OOM_SCORE.write_text("900\n", encoding="ascii")


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar where somebody can see it."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _as_json(kept: "Kept") -> dict[str, object]:
    return {
        "days_rolled_up": kept.days_rolled_up,
        "days_compacted": kept.days_compacted,
        "days_by_subject": kept.days_by_subject,
        "days_dropped": kept.days_dropped,
        "rollup_days_dropped": kept.rollup_days_dropped,
        "files_removed": kept.files_removed,
    }


def _as_text(kept: "Kept") -> str:
    parts = [
        f"{_counted(len(kept.days_rolled_up), 'day')} rolled up",
        f"{_counted(len(kept.days_compacted), 'day')} compacted",
        f"{_counted(len(kept.days_dropped), 'day')} dropped",
        f"{_counted(kept.files_removed, 'file')} removed",
    ]
    if kept.days_by_subject:
        parts.insert(1, f"{_counted(len(kept.days_by_subject), 'day')} added up by subject")
    if kept.rollup_days_dropped:
        parts.insert(-1, f"hourly sums of {_counted(len(kept.rollup_days_dropped), 'day')} dropped")
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
