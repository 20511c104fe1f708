"""Generations whose rows or facts are gone: they get an interval all the same, so that a receipt tells of them."""

import os
from collections.abc import Mapping

from netledger._core import Batch, KeySpec, PcapReader, Totals
from netledger.receipt import ZERO, Observed, rfc3339
from netledger.schema import Table
from netledger.sources.base import Past
from netledger.sources.lasting import Mark
from netledger.sources.observing import MEANING

# The header of a capture of raw IP, and no packet: the native core makes no rows but of something.
_NO_PACKETS = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000")


class NoRows:
    """Stands for the rows of a generation that has none left.

    Args:
        why: what became of them.
    """

    rows = 0
    recovered = True
    last_received_ns: int | None = None

    def __init__(self, why: str) -> None:
        self.why = why

    @property
    def totals(self) -> Totals:
        """Nothing."""
        return _nothing().totals

    def batch(self, _interface_names: Mapping[int, str]) -> Batch:
        """No rows, in the columns of the native core."""
        return _nothing().batch()

    def release(self) -> None:
        """There is no file."""


def nothing_observed(why: str, *, source: str, table: Table = Table.TRAFFIC) -> Observed:
    """What is said of a time of which nothing is known."""
    return Observed(kernel=None, accounted=ZERO, rows=0, interrupted=why, source=source, meaning=MEANING, table=table)


def absence(mark: Mark | None, past: Past, *, end_ns: int, boot: str, remains: str | None) -> tuple[int, str] | None:
    """From when on nobody can say what was counted, and in words why; None when there is nothing to tell.

    For a start that found no generation. ``mark`` says that the meter had not been stopped, ``remains`` what the
    counters of rules said that nobody can explain.
    """
    known = [ns for ns in (mark.since_ns if mark else None, past.end_ns) if ns is not None]
    if not known or (mark is None and remains is None):
        return None
    start_ns = min(max(known), end_ns)
    why = "the machine was restarted" if mark and mark.boot_id != boot else "the runtime directory was removed"
    text = f"between {rfc3339(start_ns)} and {rfc3339(end_ns)} nobody can say what was counted: {why}"
    return start_ns, "; ".join(part for part in (text, remains) if part)


def no_totals() -> Totals:
    """The sums of nothing."""
    return _nothing().totals


def _nothing() -> PcapReader:
    descriptor = os.memfd_create("no-packets", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, _NO_PACKETS)
        return PcapReader(f"/proc/self/fd/{descriptor}", key=KeySpec(columns=("host",)), rows_max=1)
    finally:
        os.close(descriptor)
