"""``netledger flows``: the kernel's connection tracking, live."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import Json, one_of, standard_output
from netledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netledger.conntrack import Event, Events, Lost
    from netledger.reports.flows.chosen import Listing, Order
    from netledger.reports.flows.rates import Rates
    from netledger.reports.flows.stream import Seen
    from netledger.reports.flows.where import Wanted
    from netledger.reports.flows.written import HostNames
    from netledger.reports.units import Unit

_EXIT_INCOMPLETE: Final = 3
# More flows than this are for programs.
_TABLE_FLOWS: Final = 100
_WATCH_FLOWS: Final = 30
_EVERY_SECONDS: Final = 2.0

_Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Only some flows, as in host=10.1.0.0/16, proto!=udp, port=80,443. Words: address (host, net), source, "
        "destination, protocol, port, source_port, destination_port, state, zone, mark, family. Repeatable.",
    ),
]
_Sort = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="bytes, packets, sent_bytes, sent_packets, received_bytes, received_packets, age, timeout; with --watch "
        "also rate. Default: bytes, with --watch rate.",
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Only the first N flows; with --follow, end after N events. Default: all; 100 in the table.",
    ),
]
_Unit = Annotated[
    str, typer.Option(metavar="UNIT", help="Of bytes for people: auto, B, KB to EB (1000s), KiB to EiB (1024s).")
]
_Follow = Annotated[bool, typer.Option("--follow", help="Print each flow that begins, changes or ends, until Ctrl-C.")]
_Watch = Annotated[bool, typer.Option("--watch", help="Look again and again, with bytes a second, until Ctrl-C.")]
_Names = Annotated[
    bool,
    typer.Option("--names", help="Ask the DNS for names of addresses, for 2 seconds at most, and show them beside."),
]


def flows(
    *,
    seconds: Annotated[
        float | None,
        typer.Argument(
            metavar="SECONDS", min=0.1, show_default=False, help="With --watch, how long between two looks. Default: 2."
        ),
    ] = None,
    follow: _Follow = False,
    watch: _Watch = False,
    where: _Where = None,
    sort: _Sort = None,
    limit: _Limit = None,
    unit: _Unit = "auto",
    names: _Names = False,
    json: Json = False,
) -> None:
    """List the flows that connection tracking knows at this moment, the greatest first. Needs CAP_NET_ADMIN.

    Exit code 3: events were lost while it followed.
    """
    from netledger.reports.flows.where import understand
    from netledger.reports.units import Unit

    _refuse_together(seconds, sort, follow=follow, watch=watch, names=names)
    wanted, shown_unit = understand(where or ()), Unit(one_of("--unit", unit, [*Unit]))
    if follow:
        _follow(wanted, limit, shown_unit, json=json)
        return
    order = _order(wanted, sort, limit, watch=watch, json=json)
    if watch:
        _watch(order, seconds or _EVERY_SECONDS, shown_unit, names=names, json=json)
        return
    found = _look(order)
    with standard_output():
        _print(found, order, shown_unit, names=names, json=json)


def _refuse_together(seconds: float | None, sort: str | None, *, follow: bool, watch: bool, names: bool) -> None:
    if seconds is not None and not watch:
        raise UsageError(f"SECONDS {seconds}", "", "only with --watch", "netledger flows --watch 5")
    if follow and watch:
        raise UsageError("--follow, --watch", "", "only one of them at a time")
    if follow and (sort is not None or names):
        raise UsageError("--follow", "", "cannot go with --sort or --names", "events come in their own order")
    if sort == "rate" and not watch:
        raise UsageError("--sort rate", "", "only with --watch", "one look knows no rates")


def _order(wanted: "Wanted", sort: str | None, limit: int | None, *, watch: bool, json: bool) -> "Order":
    from netledger.reports.flows.chosen import Order

    by_default = None if json else _WATCH_FLOWS if watch else _TABLE_FLOWS
    return Order(wanted=wanted, sort=sort or ("rate" if watch else "bytes"), limit=limit or by_default)


def _look(order: "Order", rates: "Rates | None" = None) -> "Listing":
    from netledger import conntrack
    from netledger.intervals import SystemClock
    from netledger.reports.flows.chosen import listing

    now = SystemClock().now()
    found = conntrack.dump(order.wanted.asked)
    if rates is None:
        return listing(found, order, taken_ns=now.wall_ns)
    return listing(rates.of(found, now), order, taken_ns=now.wall_ns, rates=rates.known)


def _notes(found: "Listing", order: "Order") -> list[str]:
    from netledger.reports.flows import switches

    return list(switches.of_listing(found, switches.switch, is_all=not order.wanted.texts, sort=order.sort))


def _print(
    found: "Listing", order: "Order", unit: "Unit", *, names: bool, json: bool, rates: "Rates | None" = None
) -> None:
    from netledger.reports.flows import written

    host_names, notes = _host_names(found) if names else None, _notes(found, order)
    if json:
        # Whoever looks again and again gets a line for each look.
        written.write_json(found, notes, sys.stdout, names=host_names, between="" if rates else "\n")
    else:
        written.print_table(found, notes, unit, sys.stdout, names=host_names, has_rates=rates is not None)


def _host_names(found: "Listing") -> "HostNames":
    from netledger.reports import names
    from netledger.reports.flows import told

    ends = (end for flow in found.flows for end in (told.source(flow), told.destination(flow)))
    wanted = {end.raw: told.mapped(end.raw) for end in ends}
    known = names.remembered(names.default_memory(), wanted.values(), now_ns=found.taken_ns)
    if known.unanswered:
        typer.echo(f"netledger: no answer about the names of {known.unanswered} of {len(wanted)} addresses", err=True)
    return {raw: known.known.get(address) for raw, address in wanted.items()}


def _follow(wanted: "Wanted", limit: int | None, unit: "Unit", *, json: bool) -> None:
    from netledger import conntrack

    # Listens before it loads what it needs to print: what happens meanwhile waits in the kernel's queue.
    with conntrack.events(filter=wanted.asked) as events:
        typer.echo("netledger: listening", err=True)
        seen = _tell_events(events, wanted, limit, unit, json=json)
    typer.echo(f"netledger: {seen.text}", err=True)
    if seen.overruns:
        raise typer.Exit(_EXIT_INCOMPLETE)


def _tell_events(events: "Events", wanted: "Wanted", limit: int | None, unit: "Unit", *, json: bool) -> "Seen":
    from netledger import conntrack
    from netledger.intervals import SystemClock
    from netledger.reports import zones
    from netledger.reports.flows import stream, switches

    clock, zone, seen, ending = SystemClock(), zones.find(None), stream.Seen(), _Ending()
    for note in switches.of_stream(switches.switch):
        typer.echo(f"netledger: {note}", err=True)
    with standard_output():
        try:
            for one in ending.until_asked(events):
                if isinstance(one, conntrack.Event) and not wanted.takes(one.flow):
                    continue
                seen.add(one)
                now_ns = clock.now().wall_ns
                text = stream.as_text(one, zone, unit, now_ns=now_ns)
                typer.echo(stream.as_json(one, now_ns=now_ns) if json else text)
                if limit is not None and seen.events >= limit:
                    break
        except KeyboardInterrupt:
            typer.echo("", err=True)  # what the terminal shows of it stands in a line of its own
    return seen


class _Ending:
    """Ends an iteration at SIGINT and SIGTERM, between two items: what was counted has been printed as well."""

    def __init__(self) -> None:
        self._is_asked = self._is_waiting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of a job in the background
                signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self._is_asked = True
        if self._is_waiting:
            raise KeyboardInterrupt

    def until_asked(self, events: "Events") -> "Iterator[Event | Lost]":
        while not self._is_asked:
            self._is_waiting = True
            one = next(events)
            self._is_waiting = False
            yield one
        raise KeyboardInterrupt


def _watch(order: "Order", seconds: float, unit: "Unit", *, names: bool, json: bool) -> None:
    """Looks again and again. On a terminal it is one picture in one place."""
    from netledger.reports.flows.rates import Rates

    rates = Rates()
    if sys.stdout.isatty() and not json:
        _redraw(order, rates, seconds, unit, names=names)
    with standard_output():
        while True:
            found = _look(order, rates)
            _print(found, order, unit, names=names, json=json, rates=rates)
            if not json:
                typer.echo("")
            sys.stdout.flush()
            time.sleep(seconds)


def _redraw(order: "Order", rates: "Rates", seconds: float, unit: "Unit", *, names: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    from netledger.reports.aligned import width_of
    from netledger.reports.flows import written
    from netledger.reports.status import console

    with Live(console=console(sys.stdout), auto_refresh=False, transient=False, vertical_overflow="crop") as picture:
        while True:
            found = _look(order, rates)
            host_names = _host_names(found) if names else None
            notes, width = _notes(found, order), width_of(sys.stdout)
            lines = written.table(found, notes, unit, names=host_names, has_rates=True, width=width)
            picture.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(seconds)
