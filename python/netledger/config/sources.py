"""What only one source has, each in a table of its name below its meter."""

from typing import Annotated, Literal, final

from pydantic import AfterValidator, Field

from netledger.config.part import Part
from netledger.config.values import Name, unique

_MEBIBYTE = 1 << 20
_BUFFER = "Receive buffer of the netlink socket in bytes: what may wait while the program is held up."


@final
class NflogGroup(Part):
    """One NFLOG group that rules of your own fill, `[[meters.NAME.nflog.groups]]`."""

    group: int = Field(ge=0, le=65_535, description="Number of the group, as in `log group 4`.")
    account: Literal["source", "destination", "both"] = Field(
        description="Whose address its packets are booked to: `source` makes sent rows, `destination` received ones."
    )
    family: Literal["ipv4", "ipv6"] | None = Field(
        default=None, description="Only this IP version is expected; the other is counted as unreadable."
    )


Zone = Annotated[int, Field(ge=0, le=65_535)]

Hooks = Annotated[
    tuple[Literal["input", "forward", "output"], ...],
    Field(strict=False, min_length=1),
    AfterValidator(unique),
]


@final
class Nflog(Part):
    """What only the source nflog has, `[meters.NAME.nflog]`."""

    groups: Annotated[tuple[NflogGroup, ...], Field(strict=False)] = Field(
        default=(),
        description="Groups that rules of your own fill. Leave it out to let netledger make its rules itself, "
        "which is what can be proven.",
    )
    table: Name = Field(default="netledger", description="Name of the nftables table (family `inet`) for its rules.")
    buffer_bytes: int = Field(default=64 * _MEBIBYTE, ge=_MEBIBYTE // 4, le=1024 * _MEBIBYTE, description=_BUFFER)
    hooks: Hooks = Field(
        default=("input", "forward", "output"),
        description="Where packets are counted: to this machine, through it, from it.",
    )


@final
class Conntrack(Part):
    """What only the source conntrack has, `[meters.NAME.conntrack]`."""

    prove: bool = Field(
        default=True,
        description="Count the same packets in an nftables table of its own, so that receipts can prove the flows.",
    )
    buffer_bytes: int = Field(
        default=64 * _MEBIBYTE,
        ge=_MEBIBYTE // 16,
        le=1024 * _MEBIBYTE,
        description=f"{_BUFFER} A smaller one than the default grows up to that when it was full.",
    )
    zones: Annotated[tuple[Zone, ...], Field(strict=False), AfterValidator(unique)] = Field(
        default=(), description="Only flows of these conntrack zones; default: of all. Most machines have zone 0 only."
    )
