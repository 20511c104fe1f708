"""The configuration's shape: what can be set, its defaults and its meaning.

The descriptions are the reference page ``docs/reference/configuration.md``.
"""

import socket
from typing import Annotated, Final, Literal, final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from netledger.config.values import (
    Days,
    Directory,
    Interfaces,
    Interval,
    Name,
    Networks,
    Node,
    Timezone,
    refuse,
    unique,
)
from netledger.exports.formats import DEFAULT_NAME
from netledger.schema import KEY_COLUMNS

GO_NFLOG_ACCTD: Final = "go-nflog-acctd"
"""The name of the format, and of the table of what only it has."""

_MEBIBYTE = 1 << 20
_STORE = "/var/lib/netledger"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@final
class NflogGroup(_Part):
    """One NFLOG group that rules of your own fill, `[[meters.NAME.nflog.groups]]`."""

    group: int = Field(ge=0, le=65_535, description="Number of the group, as in `log group 4`.")
    account: Literal["source", "destination", "both"] = Field(
        description="Whose address its packets are booked to: `source` makes sent rows, `destination` received ones."
    )
    family: Literal["ipv4", "ipv6"] | None = Field(
        default=None, description="Only this IP version is expected; the other is counted as unreadable."
    )


Hooks = Annotated[
    tuple[Literal["input", "forward", "output"], ...],
    Field(strict=False, min_length=1),
    AfterValidator(unique),
]


@final
class Nflog(_Part):
    """What only the source nflog has, `[meters.NAME.nflog]`."""

    groups: Annotated[tuple[NflogGroup, ...], Field(strict=False)] = Field(
        default=(),
        description="Groups that rules of your own fill. Leave it out to let netledger make its rules itself, "
        "which is what can be proven.",
    )
    table: Name = Field(default="netledger", description="Name of the nftables table (family `inet`) for its rules.")
    buffer_bytes: int = Field(
        default=64 * _MEBIBYTE,
        ge=_MEBIBYTE // 4,
        le=1024 * _MEBIBYTE,
        description="Receive buffer of the netlink socket in bytes: what may wait while the program is held up.",
    )
    hooks: Hooks = Field(
        default=("input", "forward", "output"),
        description="Where packets are counted: to this machine, through it, from it.",
    )


@final
class PrefixLength(_Part):
    """How much of an address is kept, `prefix_length = {ipv4 = 32, ipv6 = 64}`."""

    ipv4: int = Field(default=32, ge=0, le=32, description="Bits of an IPv4 address.")
    ipv6: int = Field(default=64, ge=0, le=128, description="Bits of an IPv6 address.")


def _is_built(source: object) -> object:
    if source in {"bpf", "packet", "conntrack", "nfacct"}:
        refuse(f'"{source}" is not in this version', '"auto" and "nflog" are')
    return source


Key = Annotated[
    tuple[Literal["host", "peer", "protocol", "host_port", "peer_port", "interface", "label"], ...],
    Field(strict=False, min_length=1),
]


@final
class Meter(_Part):
    """One accounting, `[meters.NAME]`. Without any there is one, named after its source."""

    source: Annotated[Literal["auto", "nflog"], BeforeValidator(_is_built)] = Field(
        default="auto", description="The kernel's mechanism to count with. `auto` takes the best one there is."
    )
    interval_seconds: Interval = Field(
        alias="interval", default=0, description="How often this meter closes its books; default: the one above."
    )
    local: Networks = Field(
        default=(),
        description="Networks whose addresses are accounted one by one; all others together are `external`. "
        "Without any, every address is accounted.",
    )
    key: Key = Field(
        default=("host",),
        description=f"What rows are added up by: any of {', '.join(KEY_COLUMNS)}.",
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


@final
class Retention(_Part):
    """How long the store keeps what, `[ledger]`. Receipts are kept for ever."""

    keep_detail_days: Days = Field(
        alias="keep_detail",
        default=None,
        description="How long rows are kept, in whole days as in `90d`; default: for ever. They go when their UTC day "
        "began longer ago, and not before they are in the hourly sums.",
    )
    keep_rollups_days: Days = Field(
        alias="keep_rollups",
        default=None,
        description="How long hourly sums of hosts are kept, at least as long as rows; default: for ever.",
    )


@final
class GoNflogAcctd(_Part):
    """What only the format go-nflog-acctd has, `[exports.NAME.go-nflog-acctd]`."""

    account: Literal["source", "destination", "both"] = Field(
        default="both",
        description="Which columns are filled: `source` those of what an address sent, `destination` those of what it "
        "received.",
    )
    timezone: Timezone | None = Field(
        default=None,
        description='Time zone of file names and rows, as in "Europe/Berlin"; default: this machine\'s.',
    )
    strict_bytes: bool = Field(
        default=False, description="Count IPv6 without its 40-byte header, as the old program did."
    )


@final
class Export(_Part):
    """Intervals as files for other programs, `[exports.NAME]`, see [exports](exports.md)."""

    format: Literal["csv", "jsonl", "go-nflog-acctd"] = Field(description="The form of the files.")
    directory: Directory = Field(description="Where they are written; it is made when it is not there.")
    meters: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(),
        description="Only intervals of these meters; default: of all. The format `go-nflog-acctd` takes exactly one.",
    )
    go_nflog_acctd: GoNflogAcctd = Field(
        alias=GO_NFLOG_ACCTD, default=GoNflogAcctd(), description="What only this format has."
    )


@final
class Config(_Part):
    """The whole file. An empty one is valid."""

    node: Node = Field(
        default_factory=socket.gethostname, description="Name of this machine in rows and receipts; default: host name."
    )
    interval_seconds: Interval = Field(
        alias="interval",
        default=300,
        description="How often books are closed, at UTC multiples: it divides a day, or is a number of whole days.",
    )
    store: Directory = Field(default=_STORE, description="Directory of what is durable.")
    runtime: Directory = Field(
        default="/run/netledger", description="Directory of what is being counted; should be in memory (tmpfs)."
    )
    ledger: Retention = Field(default=Retention(), description="How long the store keeps what.")
    meters: dict[Name, Meter] = Field(
        default={"nflog": Meter()}, description="The accountings, by name; default: one named `nflog`."
    )
    exports: dict[Name, Export] = Field(
        default={DEFAULT_NAME: Export(format="csv", directory=f"{_STORE}/exports")},
        description=f"The exports, by name. Without any such table there is one named `{DEFAULT_NAME}`, CSV in "
        "`STORE/exports`; an empty `[exports]` switches it off.",
    )
