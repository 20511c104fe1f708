"""What only the source packet has: `[meters.NAME.packet]`."""

from typing import Annotated, final

from pydantic import AfterValidator, Field

from netledger.config.part import Part
from netledger.config.values import Interfaces, refuse
from netledger.errors import NetledgerError

_MEBIBYTE = 1 << 20


def _expression(text: str) -> str:
    # libpcap and what is needed to call it: only who has an expression waits for them.
    from netledger.sources.packet_filter import PacketChoice  # noqa: PLC0415  (as said above)

    try:
        PacketChoice(expression=text).program()
    except NetledgerError as error:
        refuse(error.cause, error.hint)
    except ValueError as error:
        refuse(str(error), "make it shorter, or choose by networks")
    return text


@final
class Packet(Part):
    """What only the source packet has, `[meters.NAME.packet]`; see [packets](../explanation/packet.md)."""

    ring_bytes: int = Field(
        default=64 * _MEBIBYTE,
        ge=_MEBIBYTE,
        le=1024 * _MEBIBYTE,
        description="Memory of the kernel for packets that wait to be counted, for each thread: what may wait while "
        "the program is held up.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many threads share the packets, each with a ring of its own; the kernel keeps the packets of "
        "a flow together.",
    )
    promiscuous: Interfaces = Field(
        default=(),
        description="Interfaces that are to receive what is sent to other machines too, and count it; `*` as above. "
        "They are set back by the kernel when the program ends, however it ends.",
    )
    filter: Annotated[str, AfterValidator(_expression)] = Field(
        default="",
        description="Only packets that this expression of tcpdump fits, which begins at the IP header; default: all. "
        'As in `"not port 22"`. Needs libpcap.',
    )
