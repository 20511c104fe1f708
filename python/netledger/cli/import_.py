"""``netledger import``: files of another accounting program into the ledger."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config
from netledger.cli.progress import progress_bar
from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.config import Config
    from netledger.imports.book import Plan, Wish

_EXIT_FAILED: Final = 1
_LISTED_MAX: Final = 20
_NAME_LENGTH_MAX: Final = 64
_MODES: Final = ("without-header", "add-header", "with-header")

_Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[KIND] PATH...",
        help="Files, or directories with files in them. KIND is the program that wrote them: go-nflog-acctd. It is "
        "found out when left out.",
    ),
]
_Meter = Annotated[
    str | None, typer.Option(metavar="NAME", help="What the accounting is called in the ledger. Default: the KIND.")
]
_Node = Annotated[
    str | None, typer.Option(metavar="NAME", help="The machine that counted. Default: `node` of the configuration.")
]
_Zone = Annotated[
    str | None,
    typer.Option(
        "--timezone", metavar="ZONE", help="Of the clock in the files, as in Europe/Berlin. Default: the machine's."
    ),
]
_Interval = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How long a period is, such as 5m, where the name of its file does not tell."
    ),
]
_Ipv6Bytes = Annotated[
    str,
    typer.Option(
        metavar="MODE",
        help="What bytes of IPv6 are: without-header, as the old program counts them, and kept so; add-header adds 40 "
        "a packet; with-header where netledger wrote the files.",
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read everything, say what would be done, and do nothing.")]


def import_(
    words: _Words,
    *,
    meter: _Meter = None,
    node: _Node = None,
    timezone: _Zone = None,
    interval: _Interval = None,
    ipv6_bytes: _Ipv6Bytes = "without-header",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, say what would be done, do nothing.")
    ] = False,
    config: ConfigFile = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Book what another program has counted into the ledger, each period once, however often it is imported.

    It works while `netledger run` counts and while it does not. Exit code 1: a file was refused, and nothing of it was
    imported; what the others hold was.
    """
    from netledger.imports import book as booking
    from netledger.imports import kinds
    from netledger.imports.summary import to_json
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger
    from netledger.ledger.imported import imported_meter, one_at_a_time
    from netledger.ledger.reader import Reader

    settings = load_config(config, store)
    kind, paths = kinds.split(words)
    found = kinds.find(kind, paths)
    wish = _wish(
        found.kind.name, settings, meter=meter, node=node, timezone=timezone, interval=interval, ipv6=ipv6_bytes
    )
    directory = Path(settings.store)
    reader = Reader(directory)
    with progress_bar() as progress:
        if dry_run:
            plan = booking.plan(found.files, wish, imported_meter(reader, node=wish.node, meter=wish.meter), progress)
        else:
            with one_at_a_time(directory):
                known = imported_meter(reader, node=wish.node, meter=wish.meter)
                plan = booking.plan(found.files, wish, known, progress)
                if plan.new:
                    ledger = Ledger(directory, clock=SystemClock())
                    ledger.open()
                    try:
                        booking.book(ledger, plan, wish, known, progress)
                    finally:
                        ledger.close()
    _tell_refused(plan)
    if json:
        shape = to_json(plan, wish, files=len(found.files), unfinished=found.unfinished, is_dry_run=dry_run)
        typer.echo(json_text.dumps(shape, ensure_ascii=False, indent=2))
    else:
        _print(plan, wish, unfinished=found.unfinished, is_dry_run=dry_run)
    if plan.refused:
        raise typer.Exit(_EXIT_FAILED)


def _wish(
    kind: str,
    config: "Config",
    *,
    meter: str | None,
    node: str | None,
    timezone: str | None,
    interval: str | None,
    ipv6: str,
) -> "Wish":
    from netledger.config.options import interval_seconds
    from netledger.imports.book import Wish
    from netledger.imports.kinds import KINDS
    from netledger.imports.rows import Ipv6Bytes
    from netledger.intervals import SECOND_NS
    from netledger.reports.zones import find

    if ipv6 not in _MODES:
        raise UsageError(f"--ipv6-bytes {ipv6}", "", "not possible here", f"there are {', '.join(_MODES)}")
    for option, text in (("--meter", meter), ("--node", node)):
        if text is not None and (
            not text.isprintable() or text != text.strip() or not 1 <= len(text) <= _NAME_LENGTH_MAX
        ):
            raise UsageError(
                f"{option} {text!r}", "", "no name", f"1 to {_NAME_LENGTH_MAX} characters that can be seen"
            )
    if meter in config.meters and node in (None, config.node):
        hint = "choose a name of its own for what is imported, as in --meter old_lan"
        raise UsageError(f"--meter {meter}", "", "the configuration has a meter of that name", hint)
    return Wish(
        kind=KINDS[kind],
        node=node or config.node,
        meter=meter or kind,
        zone=find(timezone),
        interval_ns=None if interval is None else interval_seconds("--interval", interval) * SECOND_NS,
        ipv6=Ipv6Bytes(ipv6),
    )


def _is_name(text: str) -> bool:
    return text.isprintable() and text == text.strip() and 1 <= len(text) <= _NAME_LENGTH_MAX


def _tell_refused(plan: "Plan") -> None:
    for error in plan.refused[:_LISTED_MAX]:
        typer.echo(str(error), err=True)
        if error.hint is not None:
            typer.echo(f"hint: {error.hint}", err=True)
    if len(plan.refused) > _LISTED_MAX:
        typer.echo(f"netledger: {len(plan.refused) - _LISTED_MAX} more files are refused", err=True)


def _print(plan: "Plan", wish: "Wish", *, unfinished: int, is_dry_run: bool) -> None:
    from netledger.imports.summary import lines

    for line in lines(plan, wish, unfinished=unfinished, is_dry_run=is_dry_run):
        typer.echo(line)
