"""Where the programs of a meter are pinned: two places, of which one counts.

    /sys/fs/bpf/netledger/lan-1b2c3d4e/a/        the program that counts
    /sys/fs/bpf/netledger/lan-1b2c3d4e/b/        there while the one is replaced by another

The number behind the name of the meter is made from the runtime directory, so that two programs with different ones do
not meet. What is in ``a`` and ``b`` is the native core's.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, final

from netledger._core import BpfMeter, Totals
from netledger.errors import PermissionDeniedError, SourceError
from netledger.sources.bpf_claim import Claim
from netledger.sources.bpf_takeover import Found
from netledger.sources.ruleset import SIDES, Side

PLACE: Final = Path("/sys/fs/bpf/netledger")
FILE_SYSTEM: Final = "bpf"
_HINT: Final = (
    "use nsenter --net=/run/netns/NAME in place of `ip netns exec`, which hides it, or netns in the meter; "
    "what was counted lies in the /sys/fs/bpf that the last start saw"
)


def directory(place: Path, runtime: Path, meter: str) -> Path:
    """The directory of a meter; ``runtime`` is the runtime directory of the whole program."""
    return place / f"{meter}-{hashlib.sha256(str(runtime).encode()).hexdigest()[:8]}"


@final
class Pins:
    """The programs of one meter. Every call is a few system calls.

    Args:
        meter: its name.
        base: its directory.
        make: a native meter for a place in it; inert.
    """

    def __init__(self, meter: str, base: Path, make: Callable[[str, int], BpfMeter]) -> None:
        self.base = base
        self._claim = Claim(meter, base)
        self._make = make
        self._natives: dict[Side, BpfMeter] = {}

    def native(self, side: Side) -> BpfMeter:
        """The native meter of a place; the same one each time."""
        if side not in self._natives:
            self._natives[side] = self._make(str(self.base / side), SIDES.index(side) + 1)
        return self._natives[side]

    def look(self, *, is_expected: bool) -> dict[Side, Found]:
        """What is pinned. It is open afterwards, unless it is broken.

        Raises:
            InUseError: another process counts by it.
            SourceError: something ``is_expected``, and there is no BPF file system to be seen here: nobody can say.
            NotSupportedError: something is pinned by a version of netledger with another layout.
            PermissionDeniedError: it may not be opened.
        """
        if type_of(self.base) != FILE_SYSTEM:
            if is_expected:
                raise SourceError(str(self.base), "open", "there is no BPF file system", _HINT)
            return {}
        self._claim.take()
        return {side: self._found(side) for side in SIDES if self._is_there(side)}

    def claim(self) -> None:
        """Makes the directory where that can be, and keeps other processes out of it; also when it was made again.

        Raises:
            InUseError: another process counts by what is pinned there.
            PermissionDeniedError: it may not be opened.
        """
        if type_of(self.base) == FILE_SYSTEM:
            # Why it cannot be made is told by who pins there.
            with contextlib.suppress(OSError):
                self.base.mkdir(parents=True, exist_ok=True)
        self._claim.take()

    def remains(self, found: Mapping[Side, Found]) -> dict[int, Totals]:
        """What was counted in the generations that are there, as far as it can be read."""
        totals: dict[int, Totals] = {}
        for side, program in found.items():
            for number in program.generations if program.generation else ():
                with contextlib.suppress(SourceError):
                    totals[number] = self.native(side).receipt(number)
        return {number: each for number, each in totals.items() if each.received_packets}

    def remove(self, side: Side) -> None:
        """Detaches a program and removes what is pinned of it. May be called twice.

        Raises:
            SourceError, PermissionDeniedError: the kernel refuses.
        """
        native = self.native(side)
        try:
            native.remove()
        except SourceError as error:
            # One of which a part is missing, so that the core does not know what the rest is: all of it is a pin.
            if type(error) is not SourceError:
                raise
            _unpin(self.base / side)
        native.close()
        del self._natives[side]
        # Not where the other program is; and the directory above may be somebody else's.
        for empty in (self.base, self.base.parent):
            with contextlib.suppress(OSError):
                empty.rmdir()

    def close(self) -> None:
        """Closes what this process has open: the kernel goes on counting. May be called twice."""
        for native in self._natives.values():
            native.close()
        self._natives.clear()
        self._claim.let_go()

    def _found(self, side: Side) -> Found:
        native = self.native(side)
        fingerprint = native.pinned_fingerprint()
        if fingerprint is None and native.pinned_layout() is None:
            return Found(broken="it is not whole")
        try:
            native.open()
            return Found(
                fingerprint=fingerprint,
                generation=native.generation(),
                generations=frozenset(native.generations()),
            )
        except SourceError as error:
            if type(error) is not SourceError:
                raise
            return Found(fingerprint=fingerprint, broken=error.cause)

    def _is_there(self, side: Side) -> bool:
        path = self.base / side
        try:
            return path.is_dir()
        except PermissionError as error:
            cause, hint = (error.strerror or str(error)).lower(), "run as root, or as the user that counted before"
            raise PermissionDeniedError(str(path), "open", cause, hint) from error


def _unpin(directory: Path) -> None:
    """Removes all names in a directory of a BPF file system, and so what nobody else has open."""
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise SourceError(str(directory), "remove", (error.strerror or str(error)).lower()) from error


def type_of(path: Path) -> str:
    """The type of the file system that a path lies in, or would: as the calling thread's mounts are."""
    kind, longest = "", -1
    for line in Path("/proc/thread-self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        mounted = fields[4].encode("latin-1", "replace").decode("unicode_escape", "replace")
        # The later one of two on the same place hides the other.
        if path.is_relative_to(mounted) and len(mounted) >= longest:
            kind, longest = fields[fields.index("-") + 1], len(mounted)
    return kind


def network_namespace() -> str:
    """The network namespace of the calling thread, such as ``net:[4026531840]``; the number is its for its life."""
    return str(Path("/proc/thread-self/ns/net").readlink())
