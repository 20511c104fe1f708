"""What a meter that counts in the kernel needs to know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from netledger._core import BpfMeter
from netledger.errors import SourceError
from netledger.sources.bookkeeping import MeterConfig
from netledger.sources.bpf_pins import PLACE, directory
from netledger.sources.packet_links import InterfaceChoice
from netledger.sources.ruleset import HOOKS, LOOPBACK, Hook, Ruleset

Attach: TypeAlias = Literal["netfilter", "tcx"]

PRIORITY: Final = 83
"""Behind the filter rules (0) and before source NAT (100), as the rules of nflog are, but at a number of its own.

Whether a link still hangs is asked by hanging another one at its priority, which the kernel refuses while any hook is
there: a chain of nftables at the same number would hide that the link is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfConfig(MeterConfig):
    """What a meter that counts in the kernel needs to know. ``buffer_bytes`` is not used: nothing is queued.

    Attributes:
        attach: at the ``netfilter`` hooks, or at single interfaces (``tcx``).
        hooks: which of the netfilter hooks.
        interfaces: only these, by patterns. Empty: all but loopback.
        interfaces_excluded: never these.
        networks: only packets from or to these; empty: all.
        networks_excluded: no packets from or to these.
        prove: whether counters of nftables count beside it; at the netfilter hooks only.
        place: where programs are pinned.
        program: an object file in place of the one that is built in; for tests.
    """

    attach: Attach = "netfilter"
    hooks: tuple[Hook, ...] = HOOKS
    interfaces: tuple[str, ...] = ()
    interfaces_excluded: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    networks_excluded: tuple[str, ...] = ()
    prove: bool = False
    place: Path = PLACE
    program: Path | None = None

    @property
    def pins(self) -> Path:
        """The directory of this meter in the BPF file system."""
        return directory(self.place, self.runtime.parent, self.meter)

    def native(self, path: str, side: int) -> BpfMeter:
        """The native meter for a place of that directory; inert.

        Raises:
            SourceError: a value that the core does not take.
        """
        try:
            return BpfMeter(
                directory=path,
                key=self.key.native(),
                rows_max=self.rows_max,
                attach=self.attach,
                hooks=self.hooks,
                priority=PRIORITY,
                loopback=LOOPBACK in self.interfaces,
                interfaces=self.interfaces,
                interfaces_excluded=self.interfaces_excluded,
                networks=self.networks,
                networks_excluded=self.networks_excluded,
                object_path=None if self.program is None else str(self.program),
                side=side,
            )
        except ValueError as error:
            raise SourceError(f"meter {self.meter}", "choose packets", str(error)) from error

    def interface_choice(self) -> InterfaceChoice:
        """Which interfaces are counted."""
        return InterfaceChoice(
            only=self.interfaces, excluded=self.interfaces_excluded, loopback=LOOPBACK in self.interfaces
        )

    def selection(self) -> Ruleset:
        """The same packets as rules of nftables choose them."""
        return Ruleset(
            table="",
            meter=self.meter,
            groups=(0, 0),
            hooks=self.hooks,
            interfaces=self.interfaces,
            interfaces_excluded=self.interfaces_excluded,
            networks=self.networks,
            networks_excluded=self.networks_excluded,
        )
