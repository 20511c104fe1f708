"""The kernel's neighbour tables."""

from typing import Literal, final

from pydantic import Field

from netledger.config.part import Part
from netledger.config.values import Duration, Interfaces


@final
class Neighbours(Part):
    """The kernel's neighbour tables: which device has which addresses, see [neighbours](attribution.md#neighbours)."""

    source: Literal["neighbours"] = Field(description="The kind of source.")
    interfaces: Interfaces = Field(
        default=(),
        description="Only neighbours at these; default: at all but lo. A `*` at the end stands for any rest.",
    )
    forget_after_seconds: Duration = Field(
        alias="forget_after",
        default=86_400,
        json_schema_extra={"default": "1d"},
        description="How long a device keeps an address of which nothing is seen, unless another device takes it.",
    )
