"""What every form of export has in common: it writes one interval, and to repeat that is harmless."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, final

from netledger.durable import Step
from netledger.exports.csv import Labelled

if TYPE_CHECKING:
    import pyarrow as pa

Side: TypeAlias = Literal["source", "destination", "both"]
"""Whose bytes and packets are told: those that an address sent, those that it received, or both."""


class Exported(Labelled, Protocol):
    """A committed interval."""

    @property
    def receipt(self) -> str:
        """Its receipt as it was committed, JSON in one line without its end."""


@final
@dataclass(frozen=True, slots=True)
class Claim:
    """The name that an interval is about to get, kept where no crash can take it.

    Attributes:
        noted: what a process before this one has noted for the same interval, or None.
        note: notes it durably.
    """

    noted: str | None
    note: Callable[[str], None]


class Format(Protocol):
    """Writes intervals in one form, to one place. To be used from one thread at a time."""

    def remove_leftovers(self) -> list[Path]:
        """Removes what a dead process had begun to write and nobody will finish, and says what it was.

        Raises:
            ExportError: a directory cannot be read or changed.
        """

    def write(self, interval: Exported, rows: "pa.RecordBatch", claim: Claim, at_step: Step) -> None:
        """Writes an interval, durably. To repeat it after a crash, at any point of it, is harmless.

        Blocks for the disk. ``rows`` are all its rows in canonical order, text as plain text.

        Raises:
            ExportError: the disk is full, broken or refuses, or another interval has its name.
        """
