"""One accounting of the configuration: `[meters.NAME]`."""

from typing import Annotated, Literal, final

from pydantic import Field, model_validator

from netledger.config.bpf import Bpf, with_the_same_hooks
from netledger.config.named import Nfacct
from netledger.config.packet import Packet
from netledger.config.part import Part
from netledger.config.sources import Conntrack, Nflog
from netledger.config.values import Interfaces, Interval, NamespaceFile, Networks
from netledger.schema import CONNECTION_COLUMNS, KEY_COLUMNS


@final
class PrefixLength(Part):
    """How much of an address is kept, `prefix_length = {ipv4 = 32, ipv6 = 64}`."""

    ipv4: int = Field(default=32, ge=0, le=32, description="Bits of an IPv4 address.")
    ipv6: int = Field(default=64, ge=0, le=128, description="Bits of an IPv6 address.")


Mechanism = Literal["bpf", "nflog", "packet", "conntrack", "nfacct"]
"""What counts; ``auto`` is a wish for one of them."""

Key = Annotated[
    tuple[Literal["host", "peer", "protocol", "host_port", "peer_port", "interface", "label", "zone", "mark"], ...],
    Field(strict=False, min_length=1),
]


@final
class Meter(Part):
    """One accounting, `[meters.NAME]`. Without any there is one, named `nflog`."""

    source: Literal["auto", "bpf", "nflog", "packet", "conntrack", "nfacct"] = Field(
        default="auto",
        description="The kernel's mechanism to count with. `auto` is bpf at the hooks of netfilter where that can be, "
        "else nflog with rules of netledger's own; see [which source](../explanation/sources.md).",
    )
    netns: NamespaceFile | None = Field(
        default=None,
        description="The network namespace whose traffic is counted, by the path of its file, as in "
        "`/run/netns/guests`; default: that of the program. Needs CAP_SYS_ADMIN. Not for nfacct.",
    )
    interval_seconds: Interval = Field(
        alias="interval", default=0, description="How often this meter closes its books; default: the one above."
    )
    cut_on_assignment: bool = Field(
        default=False, description="Whether this meter ends its interval at a hand-over; default: the one above."
    )
    local: Networks = Field(
        default=(),
        description="Networks whose addresses are accounted one by one; all others together are `external`. "
        "Without any, every address is accounted.",
    )
    key: Key = Field(
        default=("host",),
        description=f"What rows are added up by: any of {', '.join(KEY_COLUMNS)}. Only the source conntrack knows "
        f"{' and '.join(CONNECTION_COLUMNS)}, and it knows no interface and no label; only nflog has a label.",
    )
    interfaces: Interfaces = Field(
        default=(),
        description="Only packets that use one of these; default: all but lo. A `*` at the end stands for any rest: "
        "`ppp*` is every interface whose name begins with ppp, those that come later included.",
    )
    interfaces_excluded: Interfaces = Field(default=(), description="No packets that use one of these; `*` as above.")
    networks: Networks = Field(default=(), description="Only packets from or to one of these; default: all.")
    networks_excluded: Networks = Field(default=(), description="No packets from or to one of these.")
    prefix_length: PrefixLength = Field(default=PrefixLength(), description="How much of an address is kept.")
    rows_max: int = Field(
        default=1_000_000,
        ge=1,
        le=16_777_216,
        description="Rows of an interval; what is beyond is counted in one row named `other`.",
    )
    bpf: Bpf = Field(default=Bpf(), description="What only this source has.")
    nflog: Nflog = Field(default=Nflog(), description="What only this source has.")
    nfacct: Nfacct = Field(default=Nfacct(), description="What only this source has.")
    conntrack: Conntrack = Field(default=Conntrack(), description="What only this source has.")
    packet: Packet = Field(default=Packet(), description="What only this source has.")

    @model_validator(mode="before")
    @classmethod
    def _same_hooks(cls, settings: object) -> object:
        return with_the_same_hooks(settings)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What may count for it, the best first: `auto` leaves it to the daemon, which looks what the kernel has."""
        return ("bpf", "nflog") if self.source == "auto" else (self.source,)

    def counted_by(self, mechanism: Mechanism) -> "Meter":
        """The same for one of them."""
        return self.model_copy(update={"source": mechanism})

    def buffer_bytes(self, mechanism: Mechanism) -> int | None:
        """What may wait in the kernel for a mechanism; None where nothing waits."""
        match mechanism:
            case "conntrack":
                return self.conntrack.buffer_bytes
            case "packet":
                return self.packet.ring_bytes
            case "nflog":
                return self.nflog.buffer_bytes
            case "bpf" | "nfacct":
                return None

    def buffer_key(self, mechanism: Mechanism) -> str:
        """The key that it is set by, in the source's own table."""
        return "ring_bytes" if mechanism == "packet" else "buffer_bytes"
