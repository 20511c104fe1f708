"""The meter that counts in the kernel, as ``netledger._core`` has it. A stub only: there is no module of this name."""

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
class BpfLink:
    """One place where the program hangs."""

    @property
    def name(self) -> str:
        """The name of its pin: ``link-input-ipv4``, or ``link-7-ingress`` of interface 7."""

    @property
    def interface_index(self) -> int | None:
        """Of tcx; None at netfilter hooks."""

    @property
    def is_pinned(self) -> bool:
        """Whether its pin is there. One that is not goes with the last process that has it open."""

    @property
    def is_attached(self) -> bool:
        """Whether the kernel still hands packets to it: nobody has detached it, its interface is there."""

@final
class BpfMeter:
    """One program and its maps, pinned in a directory of a BPF file system.

    It counts by itself, whether this process lives or not. Packets are booked in the generation whose number is open;
    rows of generation ``n`` are in slot ``n & 1``, so that two generations may exist: one that is open, and one that is
    prepared or not yet read.

    ``attach`` is ``netfilter`` (packets at ``hooks``, with ``priority``) or ``tcx`` (packets of single interfaces).
    ``loopback`` counts what this machine sends to itself, once. ``interfaces`` are names, or beginnings of names with a
    ``*`` behind them; empty: all. ``networks``: only packets to or from one of them; ``networks_excluded``: no packet
    to or from one of those. ``side`` (1 to 255) says whose a shared generation number is, see :meth:`load`.
    ``object_path`` is another object file than the one that is built in.

    The first part of ``directory`` that is missing has to lie in a BPF file system; one is mounted on ``/sys/fs/bpf``
    where there is none and the process may. Names in it cannot contain dots: the kernel refuses.

    Each call is a few system calls in the calling thread, in its network namespace. Safe to share between threads.
    Making one touches nothing.

    Raises:
        ValueError: a column that only connection tracking or NFLOG knows, an unknown hook or attach point, a network
            that is none, a name of an interface that can be none, more than 32 of them.
    """

    def __new__(
        cls,
        *,
        directory: str,
        key: KeySpec,
        rows_max: int,
        attach: str,
        hooks: Sequence[str] = ("input", "forward", "output"),
        priority: int = 90,
        loopback: bool = False,
        interfaces: Sequence[str] = (),
        interfaces_excluded: Sequence[str] = (),
        networks: Sequence[str] = (),
        networks_excluded: Sequence[str] = (),
        side: int = 1,
        object_path: str | None = None,
    ) -> BpfMeter: ...
    @property
    def fingerprint(self) -> str:
        """Of all that is asked for but ``directory`` and ``side``, and of the object."""

    def load(self, control: str | None = None) -> None:
        """Makes the directory, maps and program, and pins them. Nothing is attached, and no generation is open.

        ``control`` is the directory of another meter, of another ``side``, whose generation number is shared: then
        :meth:`switch` of this one ends what is open there by the same write that opens a generation here. What an
        earlier call that did not come to its end has left is removed first.

        Raises:
            NotSupportedError: the kernel is too old, or was built without what is needed; says what.
            PermissionDeniedError: a capability is missing, or the kernel forbids it; says which.
            SourceError: there is a program already; no BPF file system; the kernel refuses the program, with the last
                lines of its reasons.
        """

    def open(self) -> None:
        """Takes over what is pinned in the directory, whatever it was made for: see :meth:`pinned_fingerprint`.

        A program of another layout, older or newer, is opened to be drained: it says of itself what must be known for
        that. It cannot be prepared, attached or switched to a generation but 0.

        Raises:
            NotSupportedError: it is of a version that says otherwise what it is. Nothing is touched.
            PermissionDeniedError: a capability is missing.
            SourceError: nothing is pinned there, or something of it is missing (which).
        """

    def pinned_fingerprint(self) -> str | None:
        """The fingerprint of what is pinned; None: nothing, or a load that did not come to its end."""

    def pinned_layout(self) -> int | None:
        """The version of the layout of what is pinned; None: nothing."""

    def is_draining(self) -> bool:
        """Whether what is open is of another layout: it can be read, stopped and removed, and no more."""

    def generation(self) -> int:
        """The generation that is open here; 0: none. Who has the number together with this one may have one open."""

    def generations(self) -> list[int]:
        """All of which the kernel has rows: prepared, open, or not discarded yet."""

    def attach(self) -> None:
        """Attaches to all netfilter hooks, in the network namespace of the thread. What is attached already stays.

        A link that somebody has detached is made again.
        """

    def attach_interface(self, index: int, name: str) -> None:
        """Attaches to an interface: what comes in and what goes out; of loopback what comes in. tcx only.

        Raises:
            ObjectNotFoundError: there is no such interface.
        """

    def detach_interface(self, index: int) -> None:
        """Takes the program off an interface, which may be gone."""

    def links(self) -> list[BpfLink]:
        """Where the program hangs, or hung, or should hang at netfilter: in the order of their names."""

    def mend(self) -> list[tuple[str, bool]]:
        """Pins again what this process has open and nobody finds any more; attaches again where somebody detached.

        Returns in words what was wrong, and whether packets were missed by it: ``link input-ipv4 was detached``. Costs
        less than a millisecond when nothing was. What cannot be pinned is told by :meth:`unpinned` instead.
        """

    def unpinned(self) -> tuple[str, str | None] | None:
        """Why something that is open here could not be pinned when that was tried last, with a hint; None: all is.

        It counts all the same, until this process ends. Tried again by each :meth:`mend`.
        """

    def prepare(self, generation: int) -> None:
        """Makes room for the rows of a generation. Nothing is done when there is some.

        Blocks some 10 ms, in which the kernel waits.

        Raises:
            SourceError: its slot has a generation that has not been discarded.
        """

    def switch(self, generation: int) -> None:
        """Opens a generation that is prepared; 0: none. One write: each packet is in the one before or in this.

        With 0 what is open on another side goes on.

        Raises:
            SourceError: it is not prepared.
        """

    def settle(self) -> None:
        """Returns when no packet is under way any more that was to be booked in a generation that was left before.

        Blocks some 10 ms, in which the kernel waits.
        """

    def read(self, generation: int, path: str) -> Generation:
        """Writes rows and receipt of a generation that was left and has settled into a table file at ``path``.

        The file is there when it is whole, and not before; one that was there is replaced. The kernel keeps its rows
        until :meth:`discard`. Blocks for half a second with 1,000,000 rows.

        Raises:
            SourceError: it is open, or not there; rows and receipt do not add up.
            TableError: the file cannot be written.
        """

    def discard(self, generation: int) -> None:
        """Frees the rows of a generation; one that is gone already is no error.

        Raises:
            SourceError: it is open.
        """

    def receipt(self, generation: int) -> Totals:
        """What a generation has counted so far, and what of it is in no row of its own."""

    def glance(self) -> Glance:
        """How far the open generation is. Reads no rows."""

    def live(self, interface_names: Mapping[int, str], *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what is open, and of what is left and not yet read, added up by key, as :meth:`Meter.live`.

        Raises:
            ValueError: ``sort`` is none of the counters.
        """

    def detach(self) -> None:
        """Takes the program off all hooks and interfaces; its maps stay."""

    def remove(self) -> None:
        """Detaches, removes all pins and the directory. What was not read is lost. Works without :meth:`open`."""

    def close(self) -> None:
        """Closes what this process has open: the kernel goes on counting. May be called twice."""

def bpf_log() -> str:
    """What libbpf and the kernel's verifier said in the last load of this thread; empty if nothing."""

def bpf_check(attach: str) -> None:
    """Loads the program for ``netfilter`` or ``tcx`` as a meter would, and throws it away.

    Raises:
        NotSupportedError, PermissionDeniedError, SourceError: as :meth:`BpfMeter.load`, but for its directory.
        ValueError: ``attach`` is neither.
    """
