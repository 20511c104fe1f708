"""``netledger import``: files of another accounting program into the ledger."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.import_logs import EXIT_FAILED, Asked, import_logs, tell_refused
from netledger.cli.options import ConfigFile, Json, Store, load_config
from netledger.cli.progress import progress_bar
from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.config import Config
    from netledger.imports.base import Kind
    from netledger.imports.book import Plan, Wish
    from netledger.imports.kinds import Found

_NAME_LENGTH_MAX: Final = 64
_MODES: Final = ("without-header", "add-header", "with-header")

_Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[KIND] PATH...",
        help="Files, or directories with files in them. KIND is the program that wrote them: go-nflog-acctd or nacctd. "
        "It is found out when left out.",
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
        metavar="DURATION",
        help="How long a period is, such as 5m: of go-nflog-acctd where the name of a file does not tell, of nacctd "
        "how much becomes one interval. Default for nacctd: 1h, or what it was before.",
    ),
]
_Ipv6Bytes = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Of go-nflog-acctd: what bytes of IPv6 are. without-header, as it counts them, and kept so; add-header "
        "adds 40 a packet; with-header where netledger wrote the files.",
    ),
]
_Fields = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Of nacctd: what a line has, as in time,proto,src,sport,dst,dport,bytes,device,user. Found out when left "
        "out.",
    ),
]
_UsersIn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NETWORK", help="Of nacctd: where users' addresses are, its dynamicnet. Found out when left out."
    ),
]
_UsersNotIn = Annotated[
    list[str] | None, typer.Option(metavar="NETWORK", help="An exception to --users-in, its exclude-name-lookup.")
]
_Delay = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Of nacctd: how long after the traffic a line is written, flush and fdelay together; for receipts. "
        "Default: 6m.",
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
    ipv6_bytes: _Ipv6Bytes = None,
    fields: _Fields = None,
    users_in: _UsersIn = None,
    users_not_in: _UsersNotIn = None,
    delay: _Delay = None,
    dry_run: _DryRun = False,
    config: ConfigFile = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Book what another program has counted into the ledger, each period once, however often it is imported.

    It works while `netledger run` counts and while it does not. Exit code 1: a file was refused, and nothing of it was
    imported; what the others hold was.
    """
    from netledger.imports import kinds
    from netledger.imports.nacctd.kind import LogKind

    settings = load_config(config, store)
    kind, paths = kinds.split(words)
    found = kinds.find(kind, paths)
    asked = Asked(
        node=_name("--node", node) or settings.node,
        meter=_meter(settings, meter, node) or found.kind.name,
        timezone=timezone,
        interval=interval,
        is_dry_run=dry_run,
        is_json=json,
    )
    if isinstance(found.kind, LogKind):
        _refuse_other(found.kind.name, ("--ipv6-bytes", ipv6_bytes))
        import_logs(found.files, asked, Path(settings.store), fields, users_in or (), users_not_in or (), delay)
    else:
        given = (("--fields", fields), ("--users-in", users_in), ("--users-not-in", users_not_in), ("--delay", delay))
        _refuse_other(found.kind.name, *given)
        _import_periods(found, found.kind, asked, Path(settings.store), ipv6_bytes or _MODES[0])


def _import_periods(found: "Found", kind: "Kind", asked: Asked, store: Path, ipv6: str) -> None:
    """Files that have a period each, or several."""
    from netledger.imports import book as booking
    from netledger.imports.summary import to_json
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger
    from netledger.ledger.imported import imported_meter, one_at_a_time
    from netledger.ledger.reader import Reader

    wish = _wish(kind, asked, ipv6)
    reader = Reader(store)
    with progress_bar() as progress:
        if asked.is_dry_run:
            plan = booking.plan(found.files, wish, imported_meter(reader, node=wish.node, meter=wish.meter), progress)
        else:
            with one_at_a_time(store):
                known = imported_meter(reader, node=wish.node, meter=wish.meter)
                plan = booking.plan(found.files, wish, known, progress)
                if plan.new:
                    ledger = Ledger(store, clock=SystemClock())
                    ledger.open()
                    try:
                        booking.book(ledger, plan, wish, known, progress)
                    finally:
                        ledger.close()
    tell_refused(plan.refused)
    if asked.is_json:
        shape = to_json(plan, wish, files=len(found.files), unfinished=found.unfinished, is_dry_run=asked.is_dry_run)
        typer.echo(json_text.dumps(shape, ensure_ascii=False, indent=2))
    else:
        _print(plan, wish, unfinished=found.unfinished, is_dry_run=asked.is_dry_run)
    if plan.refused:
        raise typer.Exit(EXIT_FAILED)


def _wish(kind: "Kind", asked: Asked, ipv6: str) -> "Wish":
    from netledger.config.options import interval_seconds
    from netledger.imports.book import Wish
    from netledger.imports.rows import Ipv6Bytes
    from netledger.intervals import SECOND_NS
    from netledger.reports.zones import find

    if ipv6 not in _MODES:
        raise UsageError(f"--ipv6-bytes {ipv6}", "", "not possible here", f"there are {', '.join(_MODES)}")
    return Wish(
        kind=kind,
        node=asked.node,
        meter=asked.meter,
        zone=find(asked.timezone),
        interval_ns=None if asked.interval is None else interval_seconds("--interval", asked.interval) * SECOND_NS,
        ipv6=Ipv6Bytes(ipv6),
    )


def _name(option: str, text: str | None) -> str | None:
    if text is not None and not (text.isprintable() and text == text.strip() and 1 <= len(text) <= _NAME_LENGTH_MAX):
        raise UsageError(f"{option} {text!r}", "", "no name", f"1 to {_NAME_LENGTH_MAX} characters that can be seen")
    return text


def _meter(config: "Config", meter: str | None, node: str | None) -> str | None:
    if _name("--meter", meter) in config.meters and node in (None, config.node):
        hint = "choose a name of its own for what is imported, as in --meter old_lan"
        raise UsageError(f"--meter {meter}", "", "the configuration has a meter of that name", hint)
    return meter


def _refuse_other(kind: str, *options: tuple[str, object]) -> None:
    for name, value in options:
        if value:
            raise UsageError(name, "", f"files of {kind} have nothing of the kind")


def _print(plan: "Plan", wish: "Wish", *, unfinished: int, is_dry_run: bool) -> None:
    from netledger.imports.summary import lines

    for line in lines(plan, wish, unfinished=unfinished, is_dry_run=is_dry_run):
        typer.echo(line)
