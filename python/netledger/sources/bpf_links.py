"""The interfaces that a program hangs at (tcx), as they come, go and change their names."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, final

from netledger.errors import ObjectNotFoundError
from netledger.sources.packet_links import InterfaceChoice, Link, Links

_STATISTICS: Final = Path("/proc/thread-self/net/dev")
_RECEIVED_PACKETS, _SENT_PACKETS = 1, 9  # of the numbers behind the name


class Hung(Protocol):
    """The part of a link that is asked for."""

    @property
    def interface_index(self) -> int | None:
        """Where it hangs."""


class Program(Protocol):
    """The part of a native meter that is asked for."""

    def links(self) -> Sequence[Hung]:
        """Where it hangs."""

    def attach_interface(self, index: int, name: str) -> None:
        """Hangs it there."""

    def detach_interface(self, index: int) -> None:
        """Takes it off."""


@final
class Interfaces:
    """Hangs programs at the interfaces that are chosen. To be used by one thread at a time, in the right namespace.

    Args:
        choice: which ones.
    """

    def __init__(self, choice: InterfaceChoice) -> None:
        self._choice = choice
        self._wanted: dict[int, Link] = {}

    def tell(self, links: Links) -> None:
        """These are there now."""
        self._wanted = {index: link for index, link in links.items() if self._choice.takes(link)}

    def hang(self, program: Program) -> list[str]:
        """Hangs a program at those that it does not hang at, and takes it off all others.

        Says of each new one, in words, if packets may have passed it before.

        Raises:
            SourceError, PermissionDeniedError: the kernel refuses.
        """
        hung = _hung(program)
        for index in hung - self._wanted.keys():
            program.detach_interface(index)
        fresh = []
        for index, link in self._wanted.items():
            if index not in hung:
                # It may be gone again by now: the next news say so.
                with contextlib.suppress(ObjectNotFoundError):
                    program.attach_interface(index, link.name)
                    fresh.append(link)
        return list(missed(fresh)) if fresh else []

    def late(self, program: Program) -> list[str]:
        """The same words for those that a program does not hang at; it is left as it is."""
        hung = _hung(program)
        fresh = [link for index, link in self._wanted.items() if index not in hung]
        return list(missed(fresh)) if fresh else []


def _hung(program: Program) -> set[int]:
    return {link.interface_index for link in program.links() if link.interface_index is not None}


def missed(fresh: Sequence[Link], statistics: Path = _STATISTICS) -> Iterator[str]:
    """What may have passed interfaces that are counted from now on: what the kernel has counted of any protocol.

    Not what passed while they had another name, by which they were not to be counted; if that is known.
    """
    before = {link.name: link.passed or 0 for link in fresh}
    for line in statistics.read_text(errors="replace").splitlines():
        name, _, numbers = line.rpartition(":")
        if name.strip() in before:
            fields = numbers.split()
            packets = int(fields[_RECEIVED_PACKETS]) + int(fields[_SENT_PACKETS]) - before[name.strip()]
            if packets > 0:
                noun = "packet" if packets == 1 else "packets"
                yield f"up to {packets:,} {noun} had passed {name.strip()} before it was counted"
