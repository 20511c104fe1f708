"""The meter of packet sockets, as ``netledger._core`` has it. A stub only: there is no module of this name."""

from collections.abc import Mapping, Sequence
from typing import final

from netledger._core import (  # noqa: TID251 - a part of the same stub
    Generation,
    Glance,
    KeySpec,
    LiveRows,
    Totals,
)

@final
class PacketMeter:
    """Counts the packets that pass interfaces, from rings that the kernel fills, into table files.

    ``account`` is ``source``, ``destination`` or ``both``: which postings a packet makes. ``interfaces`` are names, or
    beginnings of names with a ``*`` behind them (``[*]`` is the character itself); empty: all. Of those,
    ``interfaces_excluded`` are left out, and loopback unless ``loopback`` is true or ``interfaces`` names it. An
    interface that comes up later is counted from its first packet. On loopback a packet counts once, where it is
    received. ``promiscuous`` is true for all chosen interfaces, or patterns of those that are to be: only there count
    packets that are for another machine.

    ``families`` are the IP versions that count. ``filter`` is a program of classic BPF (code, jt, jf, k) that reads a
    packet from its IP header on, ``SKF_NET_OFF`` being where that starts, and gives 0 for what is not to be counted.

    ``threads`` sockets share the packets; each has a ring of ``ring_bytes`` and a table file of its own, ``path`` and
    ``path.1`` and so on. A part of the ring is handed over when it is full or ``retire_milliseconds`` old. What is
    still in the ring when the process dies is lost; everything else is in the files.

    Safe to share between threads; no call holds up the receivers. Making one touches nothing.
    """

    def __new__(
        cls,
        *,
        key: KeySpec,
        rows_max: int,
        account: str = "both",
        interfaces: Sequence[str] = (),
        interfaces_excluded: Sequence[str] = (),
        loopback: bool = False,
        ring_bytes: int = 67_108_864,
        retire_milliseconds: int = 50,
        threads: int = 1,
        promiscuous: bool | Sequence[str] = False,
        families: Sequence[int] = (4, 6),
        filter: Sequence[tuple[int, int, int, int]] = (),  # noqa: A002 - as it is called everywhere
    ) -> PacketMeter: ...
    def begin(self, path: str) -> None:
        """Opens the sockets in the network namespace of the calling thread, and a generation at ``path``.

        Raises:
            PermissionDeniedError: ``CAP_NET_RAW`` is missing.
            SourceError: the kernel refuses; it has begun already.
            TableError: the table files cannot be made.
        """

    def roll(self, path: str) -> Generation:
        """Goes on in a new table at ``path``; what came until now is in the one returned, and nothing of what comes.

        Blocks until the kernel has handed over what it holds: twice ``retire_milliseconds`` at most, nothing on a line
        that is quiet.
        """

    def end(self) -> Generation:
        """As :meth:`roll`, and closes the sockets."""

    def interfaces_changed(self, names: Mapping[int, str] = ...) -> None:
        """Interfaces came, went or were renamed: looks at all known ones again.

        ``names`` are those that the caller knows, by index. They are used where the kernel has no name any more, and
        make new interfaces promiscuous before their first packet. Any thread may call it, in any network namespace.
        """

    def interface_names(self) -> dict[int, str]:
        """The counted interfaces that were seen, by the index that they have, or had last."""

    def stats(self) -> Totals:
        """Sums over all generations since the start.

        Raises:
            SourceError: a receiver has failed.
        """

    def glance(self) -> Glance:
        """How far the open generations are. Asks nothing of the receivers."""

    def live(
        self, interface_names: Mapping[int, str] = ..., *, top: int | None = None, sort: str = "bytes"
    ) -> LiveRows:
        """The rows of the open generations, added up by key, as :meth:`Meter.live`. The names are the meter's own.

        Raises:
            ValueError: ``sort`` is none of the counters.
        """

    def close(self) -> None:
        """Ends the threads. Open generations stay on disk as they are. May be called twice."""
