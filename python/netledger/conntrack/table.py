"""Asking the kernel for flows, zeroing and deleting them."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from netledger._core import (
    ConntrackDump,
    conntrack_count,
    conntrack_delete,
    conntrack_expectations,
    conntrack_flush,
    conntrack_get,
    conntrack_statistics,
)
from netledger.conntrack.flows import CpuStats, Direction, Expectation, Family, Flow
from netledger.conntrack.told import expectation_of, flow_of, name_of, stats_of
from netledger.conntrack.wanted import Filter, native_filter
from netledger.errors import ObjectNotFoundError

__all__ = [
    "count",
    "count_max",
    "delete",
    "dump",
    "dying",
    "expectations",
    "flush",
    "get",
    "reset",
    "stats",
    "unconfirmed",
    "zero",
]

_TABLE: Final = 0
_DYING: Final = 1
_UNCONFIRMED: Final = 2


def dump(filter: Filter | None = None) -> Iterator[Flow]:  # noqa: A002  # the word for it
    """The flows of this network namespace that pass the filter, while they are read from the kernel.

    The kernel is asked at once, and tells more as the iteration goes on, so that a large table needs no memory here.
    Each flow is as it was when its part was written; one that is there from begin to end comes once. Does not block.

    Raises:
        UnsteadyError: what came is not all. The kernel has no cause to say so today.
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return _flows(_TABLE, filter)


def dying(family: Family | None = None) -> Iterator[Flow]:
    """The flows that are gone, but whose DESTROY event found no room with a listener that is ``reliable``.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """
    return _flows(_DYING, Filter(family=family))


def unconfirmed(family: Family | None = None) -> Iterator[Flow]:
    """The flows whose first packet is still on its way. Kernels from 6.6 on keep no list of them: there are none.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """
    return _flows(_UNCONFIRMED, Filter(family=family))


def _flows(which: int, wanted: Filter | None) -> Iterator[Flow]:
    # Outside the generator: what is asked for is asked for now, not when the first flow is taken.
    return _parts(ConntrackDump(which, native_filter(wanted)))


def _parts(native: ConntrackDump) -> Iterator[Flow]:
    while (part := native.part()) is not None:
        yield from map(flow_of, part)


def zero(filter: Filter | None = None) -> Iterator[Flow]:  # noqa: A002  # the word for it
    """Takes the counters of one flow after the other and leaves 0, while it is iterated.

    Each packet is in what is handed out or still in the counter, never lost. Who adds up the counters of all that is
    handed out and of all DESTROY events has each packet once. Flows that end meanwhile are left out: their event has
    the rest.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """
    # Not by the kernel's dump that zeroes: it loses what does not fit into a part of the answer any more.
    return _zeroed(dump(filter))


def _zeroed(flows: Iterator[Flow]) -> Iterator[Flow]:
    for flow in flows:
        with suppress(ObjectNotFoundError):
            yield reset(flow)


def reset(flow: Flow) -> Flow:
    """Takes the counters of one flow and leaves 0, so that each packet is in what is returned or still in the counter.

    Raises:
        ObjectNotFoundError: it is gone.
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return flow_of(conntrack_get(name_of(flow.original, flow.zone), zero=True))


def get(direction: Direction, *, zone: int | None = None) -> Flow:
    """The flow that has this direction, be it the original one or the other; ``zone`` as the flow has it.

    Of the direction count the addresses, the protocol, ports or ICMP's numbers, and its zone.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: the addresses are of two versions of IP, or of none.
    """
    return flow_of(conntrack_get(name_of(direction, zone), zero=False))


def delete(flow: Flow) -> None:
    """Deletes a flow, by its original direction, its zone and its ``id``, if that is known.

    Another flow that has come in its place is not deleted, unless the kernel has given it the same id.

    Raises:
        ObjectNotFoundError: it is gone already.
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    conntrack_delete(name_of(flow.original, flow.zone), flow.id)


def flush(family: Family | None = None) -> None:
    """Deletes all flows of this network namespace, or those of a family; kernels before 4.20 do not heed the family.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    conntrack_flush(None if family is None else int(family))


def count() -> int:
    """How many flows there are in this network namespace.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return conntrack_count()[0]


def count_max() -> int | None:
    """How many flows there may be; kernels before 4.18 do not say it.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return conntrack_count()[1]


def stats() -> tuple[CpuStats, ...]:
    """What each processor has counted, as ``conntrack -S`` shows it.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return tuple(stats_of(cpu, counts) for cpu, counts in conntrack_statistics())


def expectations(family: Family | None = None) -> tuple[Expectation, ...]:
    """The flows that helpers expect.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return tuple(map(expectation_of, conntrack_expectations(None if family is None else int(family))))
