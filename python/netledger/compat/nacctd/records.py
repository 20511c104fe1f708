"""What has been counted and has no line yet: the old program's records. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias, final

__all__ = ["Counts", "Flow", "Record", "Records"]


class Flow(NamedTuple):
    """What a record is kept apart by. None where the field is disabled.

    The device is always there, and the user is part of it: whoever gets an address later gets records of his own.
    """

    protocol: int | None
    source: int | None
    source_port: int | None
    destination: int | None
    destination_port: int | None
    device: str
    user: str | None


Counts: TypeAlias = tuple[Flow, int, int]
"""A flow with its packets and bytes."""

_FIELDS: Final = (2, 3, 4, 5, 6)
_USER: Final = 10


class Record:
    """The counters of a flow, and until when something may have come: nanoseconds of the monotonic clock."""

    __slots__ = ("last_ns", "packets", "size")

    def __init__(self, packets: int, size: int, last_ns: int) -> None:
        self.packets = packets
        self.size = size
        self.last_ns = last_ns


@final
class Records:
    """All records. Not safe for concurrent use."""

    def __init__(self) -> None:
        self._records: dict[Flow, Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def add(self, counts: Iterable[Counts], *, last_ns: int) -> None:
        """Adds what came until a moment."""
        records = self._records
        for flow, packets, size in counts:
            record = records.get(flow)
            if record is None:
                records[flow] = Record(packets, size, last_ns)
            else:
                record.packets += packets
                record.size += size
                record.last_ns = max(record.last_ns, last_ns)

    def idle_since(self, moment_ns: int) -> list[Flow]:
        """The flows that nothing came for after a moment, sorted."""
        return sorted((flow for flow, record in self._records.items() if record.last_ns <= moment_ns), key=order)

    def counts(self, flows: Iterable[Flow]) -> Iterator[Counts]:
        """What some flows have got."""
        for flow in flows:
            record = self._records[flow]
            yield flow, record.packets, record.size

    def all(self) -> list[Flow]:
        """All flows, sorted."""
        return sorted(self._records, key=order)

    def remove(self, flows: Iterable[Flow]) -> None:
        """Drops records that have their line."""
        for flow in flows:
            del self._records[flow]


def order(flow: Flow) -> tuple[int | str, ...]:
    """Sorts flows the same way each time; a disabled field comes first."""
    numbers = (-1 if value is None else value for value in flow[:5])
    return (*numbers, flow.device, "" if flow.user is None else flow.user)


def narrowed(flow: Flow, disabled: frozenset[int]) -> Flow:
    """A flow without the fields that are disabled. The device stays: it keeps records apart even when it is."""
    if not disabled:
        return flow
    protocol, source, source_port, destination, destination_port = (
        None if number in disabled else value for number, value in zip(_FIELDS, flow[:5], strict=True)
    )
    user = None if _USER in disabled else flow.user
    return Flow(protocol, source, source_port, destination, destination_port, flow.device, user)
