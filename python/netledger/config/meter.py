"""One accounting of the configuration: `[meters.NAME]`."""

from typing import Annotated, Literal, final

from pydantic import BeforeValidator, Field

from netledger.config.named import Nfacct
from netledger.config.packet import Packet
from netledger.config.part import Part
from netledger.config.sources import Conntrack, Nflog
from netledger.config.values import Interfaces, Interval, Networks, refuse
from netledger.schema import CONNECTION_COLUMNS, KEY_COLUMNS


@final
class PrefixLength(Part):
    """How much of an address is kept, `prefix_length = {ipv4 = 32, ipv6 = 64}`."""

    ipv4: int = Field(default=32, ge=0, le=32, description="Bits of an IPv4 address.")
    ipv6: int = Field(default=64, ge=0, le=128, description="Bits of an IPv6 address.")


def _is_built(source: object) -> object:
    if source == "bpf":
        refuse('"bpf" is not in this version', '"auto", "nflog", "packet", "conntrack" and "nfacct" are')
    return source


Key = Annotated[
    tuple[Literal["host", "peer", "protocol", "host_port", "peer_port", "interface", "label", "zone", "mark"], ...],
    Field(strict=False, min_length=1),
]


@final
class Meter(Part):
    """One accounting, `[meters.NAME]`. Without any there is one, named after its source."""

    source: Annotated[Literal["auto", "nflog", "packet", "conntrack", "nfacct"], BeforeValidator(_is_built)] = Field(
        default="auto", description="The kernel's mechanism to count with. `auto` takes the best one there is."
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
        f"{' and '.join(CONNECTION_COLUMNS)}, and it knows no interface and no label; the source packet has no label.",
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
    nflog: Nflog = Field(default=Nflog(), description="What only this source has.")
    nfacct: Nfacct = Field(default=Nfacct(), description="What only this source has.")
    conntrack: Conntrack = Field(default=Conntrack(), description="What only this source has.")
    packet: Packet = Field(default=Packet(), description="What only this source has.")

    @property
    def mechanism(self) -> Literal["nflog", "packet", "conntrack", "nfacct"]:
        """The source that counts: what `auto` stands for, too."""
        return "nflog" if self.source == "auto" else self.source

    @property
    def buffer_bytes(self) -> int:
        """What may wait in the kernel for that source."""
        match self.mechanism:
            case "conntrack":
                return self.conntrack.buffer_bytes
            case "packet":
                return self.packet.ring_bytes
            case "nflog" | "nfacct":
                return self.nflog.buffer_bytes

    @property
    def buffer_key(self) -> str:
        """The key that it is set by, in the source's own table."""
        return "ring_bytes" if self.mechanism == "packet" else "buffer_bytes"
