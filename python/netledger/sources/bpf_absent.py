"""Whether the kernel counts on for a meter while no process of ours lives. Looking changes nothing."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

from netledger._core import BpfMeter
from netledger.errors import NetledgerError
from netledger.receipt import Count
from netledger.sources import leavings
from netledger.sources.base import Key
from netledger.sources.bpf_pins import FILE_SYSTEM, PLACE, directory, type_of
from netledger.sources.bpf_said import SOURCE, counted
from netledger.sources.ruleset import SIDES
from netledger.sources.state import Facts, State, boot_id


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CountsOn:
    """A meter that the kernel counts for.

    Attributes:
        meter: its name.
        since_ns: where the open interval began, UTC nanoseconds; None where nothing tells that any more.
        looked_ns: when a process of ours last looked, UTC nanoseconds; None where nothing tells that.
        counted: what it has counted in that interval; None where this user may not ask the kernel: then what was
            written down says that it counts, and not the kernel.
    """

    meter: str
    since_ns: int | None
    looked_ns: int | None
    counted: Count | None


def counts_on(runtime: Path, store: Path, meter: str, *, place: Path = PLACE) -> CountsOn | None:
    """What the kernel counts for a meter, as far as it can be seen; None: nothing, or nobody knows of anything.

    ``runtime`` and ``store`` are the directories of the whole program. Not while a process counts for this meter.
    """
    left = _left(runtime / meter, store, meter)
    looked_ns = None
    with contextlib.suppress(OSError):
        looked_ns = (runtime / meter / "lock").stat().st_mtime_ns
    base = directory(place, runtime, meter)
    is_hidden = type_of(base) != FILE_SYSTEM  # from this mount namespace
    try:
        open_now = None if is_hidden else _open_now(base)
    except NetledgerError:
        is_hidden, open_now = True, None  # from this user
    if open_now is not None:
        number, count = open_now
        known = next((facts for facts in left if facts.seq == number), None)
        since_ns = None if known is None else known.start.wall_ns
        return CountsOn(meter=meter, since_ns=since_ns, looked_ns=looked_ns, counted=count)
    if is_hidden and left:
        return CountsOn(meter=meter, since_ns=left[-1].start.wall_ns, looked_ns=looked_ns, counted=None)
    return None


def _open_now(base: Path) -> tuple[int, Count] | None:
    """The generation that a program counts for, and what it has counted. It takes no lock: somebody may be starting.

    Raises:
        NetledgerError: it may not be seen, or is not understood.
    """
    for number, side in enumerate(SIDES, start=1):
        # What is pinned says itself what it was made for.
        native = BpfMeter(directory=str(base / side), key=Key().native(), rows_max=1, attach="netfilter", side=number)
        if native.pinned_fingerprint() is None:
            continue
        native.open()
        try:
            if generation := native.generation():
                return generation, counted(native.receipt(generation))
        finally:
            native.close()
    return None


def _left(runtime: Path, store: Path, meter: str) -> list[Facts]:
    """The generations that a dead process left to the kernel of this boot, oldest first."""
    try:
        noted = leavings.noted(runtime)
        if noted is None or noted.mechanism != SOURCE:
            return []
        found, _ = State(runtime, store / "meters", meter).load()
    except (NetledgerError, OSError):
        return []
    here = boot_id()
    return [facts for facts in found if facts.closing is None and facts.begun and facts.boot_id == here]
