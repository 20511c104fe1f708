"""Does what a request asks for."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Final, assert_never

from netledger import conntrack
from netledger.compat.conntrack.asking import family_of, filter_of, tuple_of
from netledger.compat.conntrack.commands import Command, Table
from netledger.compat.conntrack.events import show_events
from netledger.compat.conntrack.expectations import ExpectationShow
from netledger.compat.conntrack.matching import matcher
from netledger.compat.conntrack.refusal import PROGRAM, VERSION, Refusal, bad_parameter, prefix
from netledger.compat.conntrack.request import Request
from netledger.compat.conntrack.show import Show
from netledger.compat.conntrack.streams import Streams
from netledger.compat.conntrack.usage import protocol_help, usage_text
from netledger.conntrack import CpuStats, Family, Flow
from netledger.errors import ObjectNotFoundError, PermissionDeniedError
from netledger.intervals import Clock

__all__ = ["run"]

_COUNT_FILE: Final = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_STATS_FILE: Final = Path("/proc/thread-self/net/stat/nf_conntrack")
_STATISTICS: Final = tuple(field.name for field in fields(CpuStats) if field.name != "cpu")
# What `-L` may not be filtered by when it zeroes.
_COMPARED: Final = frozenset(
    ("src", "dst", "reply-src", "reply-dst", "protonum", "mark", "status", "zone", "label", "orig-zone", "reply-zone")
)


def run(request: Request, streams: Streams, clock: Clock, program: str) -> int:
    """Runs one command to its end; gives the exit status. ``program`` is the name it was called by.

    Raises:
        BrokenPipeError: nobody reads the output any more.
        Refusal, NetledgerError: it ends with an error.
    """
    match request.command:
        case Command.NONE | Command.HELP:
            streams.out(usage_text(program))
            if request.protocol is not None:
                streams.out(protocol_help(request.protocol))
        case Command.VERSION:
            streams.out(f"{PROGRAM} v{VERSION} (conntrack-tools)\n")
        case Command.COUNT:
            streams.out(f"{_count(request)}\n")
        case Command.STATS:
            for line in _statistics(request):
                streams.out(line)
        case Command.FLUSH:
            conntrack.flush(family_of(request))
            streams.tell(f"{prefix()}connection tracking table has been emptied.")
        case Command.LIST | Command.GET | Command.DELETE | Command.EVENT:
            return _about_flows(request, streams, clock)
        case _:
            assert_never(request.command)
    streams.flush()
    return 0


def _about_flows(request: Request, streams: Streams, clock: Clock) -> int:
    if request.expectations:
        return _list_expectations(request, streams, clock)
    _check_filters(request)
    show = Show(request, streams, clock)
    if request.command is Command.EVENT:
        show_events(request, show, streams)
        return 0
    flows = {Command.LIST: _listed, Command.GET: _got, Command.DELETE: _deleted}[request.command]
    for flow in flows(request):
        show.flow(flow)
    show.end()
    done = "deleted" if request.command is Command.DELETE else "shown"
    streams.tell(f"{prefix()}{show.shown} flow entries have been {done}.")
    return 0 if show.shown or request.command is Command.LIST else 1


def _check_filters(request: Request) -> None:
    if "zero" in request.given:
        if request.table is not Table.CONNTRACK:
            raise bad_parameter(f"Can't use -z with table `{request.table.value}'")
        if not request.given.isdisjoint(_COMPARED):
            raise bad_parameter("Can't use -z with filtering parameters")
    for name in ("src", "dst"):
        if f"mask-{name}" in request.given and name not in request.given:
            raise bad_parameter(f"Can't use --mask-{name} without --{name}")
    if "status" in request.given and request.status == (0, 0):
        # The kernel's answer to a filter that asks for nothing.
        raise Refusal("Operation failed: invalid parameters")


def _listed(request: Request) -> Iterator[Flow]:
    matches = matcher(request)
    match request.table:
        case Table.DYING:
            yield from filter(matches, conntrack.dying(family_of(request)))
        case Table.UNCONFIRMED:
            yield from filter(matches, conntrack.unconfirmed(family_of(request)))
        case _:
            flows = filter(matches, conntrack.dump(filter_of(request)))
            yield from _zeroed(flows) if "zero" in request.given else flows


def _zeroed(flows: Iterator[Flow]) -> Iterator[Flow]:
    """One by one: the kernel's list that zeroes loses what does not fit into a part of its answer any more."""
    for flow in flows:
        with suppress(ObjectNotFoundError):
            # To ask for it was a use by itself.
            yield replace(conntrack.reset(flow), use=flow.use)


def _got(request: Request) -> Iterator[Flow]:
    yield from filter(matcher(request), [conntrack.get(tuple_of(request))])


def _deleted(request: Request) -> Iterator[Flow]:
    for flow in filter(matcher(request), conntrack.dump(filter_of(request))):
        # What has gone meanwhile is not ours to tell of.
        with suppress(ObjectNotFoundError):
            conntrack.delete(flow)
            yield flow


def _list_expectations(request: Request, streams: Streams, clock: Clock) -> int:
    show = ExpectationShow(request, streams, clock)
    for expectation in conntrack.expectations(_expected_family(request)):
        show.expectation(expectation)
    show.end()
    streams.tell(f"{prefix()}{show.shown} expectations have been shown.")
    return 0


def _expected_family(request: Request) -> Family:
    """Of expectations only those of one version of IP are listed."""
    return family_of(request) or Family.IPV4


def _count(request: Request) -> int:
    if request.expectations:
        return len(conntrack.expectations(_expected_family(request)))
    try:
        return conntrack.count()
    except PermissionDeniedError:
        # The number is not secret, only the way to it is guarded.
        return int(_COUNT_FILE.read_text(encoding="utf-8"))


def _statistics(request: Request) -> Iterator[str]:
    if request.expectations:
        yield from _lines_of_file(("expect_new", "expect_create", "expect_delete"))
        return
    try:
        processors = conntrack.stats()
    except PermissionDeniedError:
        yield from _lines_of_file(None)
        return
    for processor in processors:
        pairs = ((name, getattr(processor, name)) for name in _STATISTICS)
        yield _statistics_line(processor.cpu, [(name, number) for name, number in pairs if number is not None])


def _lines_of_file(names: tuple[str, ...] | None) -> Iterator[str]:
    """What /proc has, a line for each processor, in hexadecimal."""
    try:
        first, *rest = _STATS_FILE.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise Refusal("Can't open /proc interface") from error
    for cpu, line in enumerate(rest):
        pairs = zip(first.split(), line.split(), strict=False)
        yield _statistics_line(cpu, [(name, int(text, 16)) for name, text in pairs if names is None or name in names])


def _statistics_line(cpu: int, pairs: list[tuple[str, int]]) -> str:
    return f"cpu={cpu:<4}\t" + "".join(f"{name}={number} " for name, number in pairs) + "\n"
