"""What outlives the process and the machine: all records, and the lines that were about to be appended.

One file beside the dump, written whole and made durable each time. A line is in the log exactly once because its record
is noted here as *about to be appended*, with the place where, before the log is touched; and as gone afterwards.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, final

from netledger.compat.nacctd.lines import text_of
from netledger.compat.nacctd.records import Counts, Flow
from netledger.durable import write_whole

__all__ = ["EMPTY", "DamagedError", "Journal", "Noted", "Pending"]

_VERSION: Final = 1
_Row: TypeAlias = list[int | str | None]


class DamagedError(Exception):
    """The file is not as this program writes it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Lines that are about to be appended.

    Attributes:
        file: to which file, its absolute path.
        offset: how long it was before; None if it is none that has a length.
        seconds: the time that the lines have.
        disabled: the fields that they are without.
        counts: their records.
    """

    file: str
    offset: int | None
    seconds: int
    disabled: frozenset[int]
    counts: tuple[Counts, ...]

    def chunks(self) -> list[bytes]:
        """The lines of each record."""
        return [text_of(each, seconds=self.seconds, disabled=self.disabled) for each in self.counts]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What the journal holds.

    Attributes:
        absorbed: the number of the last generation whose counters are in the records.
        dump: digest of the dump that goes with this; empty: there is none.
        dump_before: of the one that may still be there instead.
        pending: what may have been appended or not.
        rest: the records that are to stay.
        replaces: the dump file whose journal and dump this one has taken over; they are to be removed.
    """

    absorbed: int = 0
    dump: str = ""
    dump_before: str = ""
    pending: Pending | None = None
    rest: tuple[Counts, ...] = ()
    replaces: str | None = None


EMPTY: Final = Noted()


@final
class Journal:
    """The file of one dump file. Blocks for the disk."""

    def __init__(self, dumpfile: str) -> None:
        self.path = Path(os.path.abspath(dumpfile) + ".journal")  # noqa: PTH100  it is moved with the dump's own name

    def read(self) -> Noted | None:
        """What was noted last; None when nothing was.

        Raises:
            DamagedError: the file is not as this program writes it.
            OSError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return _read(file)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(str(error)) from error

    def write(self, noted: Noted) -> None:
        """Notes it durably.

        Raises:
            OSError: the disk refuses; what was noted before is still there. The directory is not made.
        """
        # A directory that is not mounted must not be taken for an empty one.
        self.path.parent.stat()
        write_whole(self.path, lambda file: _write(file, noted))

    def remove(self) -> None:
        """Removes it, after it has been written elsewhere.

        Raises:
            OSError: the disk refuses.
        """
        self.path.unlink(missing_ok=True)

    def set_aside(self, why: str) -> Path:
        """Gives a file that is not to be believed another name that says why, and says which.

        Raises:
            OSError: the disk refuses.
        """
        aside = self.path.with_name(f"{self.path.name}.{why}")
        self.path.rename(aside)
        return aside


def _write(file: BinaryIO, noted: Noted) -> None:
    pending = noted.pending
    head = {
        "version": _VERSION,
        "absorbed": noted.absorbed,
        "dump": noted.dump,
        "dump_before": noted.dump_before,
        "replaces": noted.replaces,
        "append": None
        if pending is None
        else {
            "file": pending.file,
            "offset": pending.offset,
            "seconds": pending.seconds,
            "disabled": sorted(pending.disabled),
            "records": len(pending.counts),
        },
        "records": len(noted.rest),
    }
    file.write(json.dumps(head).encode() + b"\n")
    file.writelines(_rows(() if pending is None else pending.counts))
    file.writelines(_rows(noted.rest))


def _rows(counts: Iterable[Counts]) -> Iterator[bytes]:
    return (json.dumps([*flow, packets, size]).encode() + b"\n" for flow, packets, size in counts)


def _read(file: BinaryIO) -> Noted:
    head = json.loads(file.readline())
    if head["version"] != _VERSION:
        raise DamagedError(f"version {head['version']}")
    append = head["append"]
    pending = None
    if append is not None:
        pending = Pending(
            file=str(append["file"]),
            offset=append["offset"],
            seconds=int(append["seconds"]),
            disabled=frozenset(append["disabled"]),
            counts=tuple(_counts(file, append["records"])),
        )
    rest = tuple(_counts(file, head["records"]))
    if file.read(1):
        raise DamagedError("more records than noted")
    return Noted(
        absorbed=int(head["absorbed"]),
        dump=str(head["dump"]),
        dump_before=str(head["dump_before"]),
        pending=pending,
        rest=rest,
        replaces=None if head["replaces"] is None else str(head["replaces"]),
    )


def _counts(file: BinaryIO, number: int) -> Iterator[Counts]:
    for _ in range(number):
        row: _Row = json.loads(file.readline())
        protocol, source, source_port, destination, destination_port, device, user, packets, size = row
        flow = Flow(
            protocol=_optional(protocol),
            source=_optional(source),
            source_port=_optional(source_port),
            destination=_optional(destination),
            destination_port=_optional(destination_port),
            device=str(device),
            user=None if user is None else str(user),
        )
        yield flow, _number(packets), _number(size)


def _optional(value: int | str | None) -> int | None:
    return None if value is None else _number(value)


def _number(value: int | str | None) -> int:
    if not isinstance(value, int) or value < 0:
        raise DamagedError(f"{value!r} is no number")
    return value
