"""``netledger counters``: the kernel's named counters, live; and made again at boot."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config, one_of, print_restored, standard_output
from netledger.cli.where import require_daemons_namespace
from netledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netledger.config import Config
    from netledger.live.counters import LiveCounters
    from netledger.receipt import Count
    from netledger.reports.live_counters import Rates
    from netledger.reports.units import Unit

counters = typer.Typer(
    name="counters", help="Named counters of the kernel: objects of nfacct, and counters of nftables."
)

_TABLE_COUNTERS: Final = 1_000
_EVERY_SECONDS: Final = 2.0

_Only = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="PATTERN", help="Only counters of such a name, as in 'http*' or 'inet filter *'. Repeatable."
    ),
]
_Sort = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="bytes, packets, name, kernel (as it lists them), with --watch also rate. Default: bytes, with --watch "
        "rate.",
    ),
]
_Top = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only the first N. Default: all; 1000 in the table.")
]
_Unit = Annotated[
    str, typer.Option(metavar="UNIT", help="Of bytes in the table: auto, B, KB to EB (1000s), KiB to EiB (1024s).")
]
_Watch = Annotated[
    float | None,
    typer.Option(
        "--watch", metavar="SECONDS", min=0.1, help="Look again and again, with what is counted a second, until Ctrl-C."
    ),
]


@counters.callback(invoke_without_command=True)
def show(
    *,
    context: typer.Context,
    name: _Only = None,
    sort: _Sort = None,
    top: _Top = None,
    unit: _Unit = "auto",
    watch: _Watch = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List the counters as they are now. It needs CAP_NET_ADMIN, or a daemon that runs here and may be asked.

    The daemon is asked only where the kernel may not be. It answers members of its group, netledger.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context, context.invoked_subcommand)
        return
    _show(name or [], sort, top, unit, watch, config, json=json)


@counters.command(name="list")
def list_(
    *,
    name: _Only = None,
    sort: _Sort = None,
    top: _Top = None,
    unit: _Unit = "auto",
    watch: _Watch = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """The same as without a word behind it: list the counters as they are now."""
    _show(name or [], sort, top, unit, watch, config, json=json)


def _refuse_options(context: typer.Context, command: str) -> None:
    """An option in front of a command would have no effect."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            hint = f"netledger counters {command} --help"
            raise UsageError(f"--{name}", "", f"options of {command} stand behind it", hint)


def _show(
    patterns: list[str],
    sort: str | None,
    top: int | None,
    unit: str,
    watch: float | None,
    config: Path | None,
    *,
    json: bool,
) -> None:
    from netledger.reports.live_counters import SORTS, Rates, chosen
    from netledger.reports.units import Unit

    shown_unit = Unit(one_of("--unit", unit, [*Unit]))
    rates = None if watch is None else Rates()
    order = one_of("--sort", sort or ("bytes" if watch is None else "rate"), list(SORTS))
    limit = top or (None if json else _TABLE_COUNTERS)
    chosen(_empty(), (), sort=order, limit=limit, rates=rates)  # refuses before anything is asked

    def look() -> "Iterator[str]":
        return _look(config, patterns, order, limit, shown_unit, rates, json=json)

    with standard_output():
        if watch is not None and sys.stdout.isatty() and not json:
            _redraw(look, watch)
        while True:
            for line in look():
                typer.echo(line)
            if watch is None:
                return
            sys.stdout.flush()
            time.sleep(watch)


@counters.command()
def restore(*, json: Json = False, config: ConfigFile = None, store: Store = None) -> None:
    """Make the objects of nfacct that meters are to ensure, so that rules which need them can be loaded.

    They go on from the totals that the ledger has of them. For boot, before a firewall is loaded: the unit
    netledger-counters.service does it. Objects that are there are left alone.
    """
    settings = load_config(config, store)
    wanted = {name: meter for name, meter in settings.meters.items() if meter.source == "nfacct"}
    wanted = {name: meter for name, meter in wanted.items() if meter.nfacct.ensure}
    if wanted:
        require_daemons_namespace(settings, "counters")
    elif not json:
        typer.echo("nothing to make: no meter has objects to ensure")
    done: list[tuple[str, Count | None]] = []
    for name, meter in wanted.items():
        found = _restore(settings, name, meter.nfacct.ensure, json=json)
        if not json:
            print_restored(found, json=False)
        done += found
    if json:
        print_restored(done, json=True)


def _restore(settings: "Config", meter: str, names: tuple[str, ...], *, json: bool) -> "list[tuple[str, Count | None]]":
    from contextlib import suppress

    from netledger import nfacct
    from netledger.errors import ObjectExistsError
    from netledger.receipt import ZERO
    from netledger.sources import restored
    from netledger.sources.made import Register
    from netledger.sources.named import name_of, text_of

    directory = Path(settings.runtime) / meter
    if restored.is_counted(directory):
        typer.echo(f"meter {meter} is counting: it makes its objects itself", err=json)
        return []
    there = {text_of(one.name) for one in nfacct.list()}
    missing = [name for name in names if name not in there]
    known = _last_totals(settings, meter) if missing else {}
    made = {name: known.get(name, ZERO) for name in missing}
    # Noted first: of an object that is made and not noted, all it has would be booked as if it had counted it.
    restored.note(directory, made)
    done: list[tuple[str, Count | None]] = []
    register = Register(Path(settings.runtime))
    for name, had in made.items():
        with suppress(ObjectExistsError), register.making(name, had):  # somebody came first
            nfacct.add(name_of(name), packets=had.packets, octets=had.bytes)
            done.append((name, had))
    return done + [(name, None) for name in names if name in there]


def _last_totals(settings: "Config", meter: str) -> "dict[str, Count]":
    """What the ledger knows. That it cannot be read must not keep a firewall from being loaded."""
    from netledger.errors import LedgerError
    from netledger.ledger.last_named import last_totals

    try:
        return last_totals(Path(settings.store), node=settings.node, meter=meter)
    except LedgerError as error:
        typer.echo(f"netledger: {error}; objects begin at 0", err=True)
        return {}


def _empty() -> "LiveCounters":
    from netledger.live.counters import CountersHead, LiveCounters

    return LiveCounters(head=CountersHead(now="", counters=0, counters_told=0), rows=())


def _look(
    config: Path | None,
    patterns: list[str],
    sort: str,
    limit: int | None,
    unit: "Unit",
    rates: "Rates | None",
    *,
    json: bool,
) -> "Iterator[str]":
    from netledger.reports.live_counters import chosen, table, to_json

    found = _read(config)
    if rates is not None:
        rates.look(found)
    every = chosen(found, patterns, sort=sort, limit=None, rates=rates)
    rows = every[:limit]
    if json:
        yield to_json(found.head.now, rows, rates)
        return
    yield from table(rows, len(every) if patterns and every else len(found.rows), unit, rates=rates)
    if rates is not None:
        yield ""


def _read(config: Path | None) -> "LiveCounters":
    """The kernel's counters: by ourselves, or through the daemon where we may not."""
    from netledger.errors import LiveError, NotRunningError, PermissionDeniedError
    from netledger.intervals import SystemClock
    from netledger.live import Client
    from netledger.live.counters import CountersHead, LiveCounters
    from netledger.receipt import rfc3339
    from netledger.sources.named import EVERY, as_row, read

    try:
        rows = tuple(as_row(one) for one in read(EVERY))
    except PermissionDeniedError as error:
        try:
            return Client(Path(load_config(config).runtime)).counters()
        except NotRunningError as absent:
            hint = f"{error.hint}; or start the daemon, which may be asked: systemctl start netledger"
            raise PermissionDeniedError(error.subject, error.operation, error.cause, hint) from absent
        except LiveError as refusal:
            hint = f"{error.hint}; to ask the daemon: {refusal.hint or refusal.cause}"
            raise PermissionDeniedError(error.subject, error.operation, error.cause, hint) from refusal
    now = rfc3339(SystemClock().now().wall_ns)
    return LiveCounters(head=CountersHead(now=now, counters=len(rows), counters_told=len(rows)), rows=rows)


def _redraw(look: "Callable[[], Iterator[str]]", seconds: float) -> None:
    """One picture in one place, on a terminal. Never ends by itself."""
    from rich.live import Live
    from rich.text import Text

    from netledger.reports.status import console

    with Live(console=console(sys.stdout), auto_refresh=False, transient=False, vertical_overflow="crop") as picture:
        while True:
            picture.update(Text("\n".join(look()), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(seconds)
