"""Which packets a packet socket gets: networks and an expression as one program for the kernel. Pure but for libpcap.

The program is the rest of a longer one: the native core puts the choice of interfaces before it, and decides how much
of a packet is copied. What it finds is a whole frame, and the first thing it does is to find the IP header:

- behind an Ethernet header it is looked for from the frame's own type on, past VLAN tags that the card or the kernel
  has left in the frame, and past PPPoE. (The outermost tag of a packet that is received is taken out by the kernel
  before any socket sees it; one that is sent may still have it.)
- on a link without a header (ppp, tun, WireGuard) it is where the kernel says that the network header begins.

X holds the place from then on, so that networks need to be written once. An expression uses X itself: there is one
copy of it for each place that the header may be at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netledger.sources.packet_expression import compiled
from netledger.sources.packet_networks import membership, ranges
from netledger.sources.packet_program import (
    AND,
    HARDWARE_TYPE,
    JEQ,
    LD,
    LD_LEN,
    LD_X,
    LDB,
    LDB_X,
    LDH,
    LDH_X,
    LDX,
    LDX_HEADER,
    LDX_LEN,
    NETWORK_HEADER,
    PROTOCOL,
    RETURN,
    SUB,
    TXA,
    Instruction,
    Label,
    Op,
    Part,
    assemble,
    disassemble,
    jump,
)

KEEP: Final = 0x40000
"""What the program returns for a packet that is wanted; 0 for one that is not."""

INSTRUCTIONS_MAX: Final = 3072
"""Of the program; the rest of what the kernel takes is for the choice of interfaces."""

_KEEP, _DROP, _FOUND, _CHOSEN = "keep", "drop", "found", "chosen"

_IPV4, _IPV6, _PPPOE = 0x0800, 0x86DD, 0x8864
_TAGS: Final = (0x8100, 0x88A8, 0x9100)
_PPP: Final = {0x0021, 0x0057}
_ETHERNET, _LOOPBACK = 1, 772  # ARPHRD_*; both have an Ethernet header
_TYPE_AT, _HEADER_BYTES, _TAG_BYTES, _PPPOE_BYTES = 12, 14, 4, 8
_TAGS_MAX: Final = 2  # in the frame

_VERSION_MASK: Final = 0xF0
_WORD: Final = 0xFFFF_FFFF
_SPECIAL: Final = 0x8000_0000  # loads from here on are not of the packet


@dataclass(frozen=True, slots=True)
class _Family:
    """Where the addresses of an IP version lie in its header."""

    version: int
    nibble: int
    words: int
    source: int
    destination: int


_FAMILIES: Final = (_Family(4, 0x40, 1, 12, 16), _Family(6, 0x60, 4, 8, 24))


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketChoice:
    """Which packets are wanted, whatever interface they use.

    Attributes:
        networks: only packets with source or destination in one of these. Empty: all.
        networks_excluded: no packet with source or destination in one of these.
        expression: only packets that this expression of tcpdump fits. Empty: all.
    """

    networks: tuple[str, ...] = ()
    networks_excluded: tuple[str, ...] = ()
    expression: str = ""

    def program(self) -> tuple[Instruction, ...]:
        """For the kernel; empty when all are wanted. A host's name in the expression is looked up now.

        Raises:
            UsageError: the expression is none.
            NotSupportedError: it needs libpcap, which is not installed.
            TooLongError: it would be too long for the kernel.
        """
        if not (self.networks or self.networks_excluded or self.expression):
            return ()
        parts = [*_to_the_header(), Label(_FOUND), *self._by_networks(), Label(_CHOSEN)]
        if self.expression:
            parts += _copies(compiled(self.expression))
        parts += [Label(_KEEP), Op(RETURN, KEEP), Label(_DROP), Op(RETURN, 0)]
        return assemble(parts, instructions_max=INSTRUCTIONS_MAX)

    def _by_networks(self) -> Iterator[Part]:
        if not (self.networks or self.networks_excluded):
            return
        yield Op(LDB_X, 0)
        yield Op(AND, _VERSION_MASK)
        for family in _FAMILIES:
            yield Op(JEQ, family.nibble, f"ipv{family.version}")
        yield jump(_DROP)
        for family in _FAMILIES:
            yield Label(f"ipv{family.version}")
            yield from self._of_family(family)

    def _of_family(self, family: _Family) -> Iterator[Part]:
        excluded = ranges(self.networks_excluded, family.version)
        wanted = ranges(self.networks, family.version)
        for end, offset in (("source", family.source), ("destination", family.destination)):
            if excluded:
                name = f"ipv{family.version}_not_{end}"
                yield from membership(excluded, offset=offset, words=family.words, name=name, yes=_DROP, no=f"{name}_")
                yield Label(f"{name}_")
        if not self.networks:
            yield jump(_CHOSEN)
            return
        for end, offset in (("source", family.source), ("destination", family.destination)):
            if wanted:
                name = f"ipv{family.version}_{end}"
                yield from membership(wanted, offset=offset, words=family.words, name=name, yes=_CHOSEN, no=f"{name}_")
                yield Label(f"{name}_")
        yield jump(_DROP)


def _to_the_header() -> Iterator[Part]:
    yield Op(LD, HARDWARE_TYPE)
    yield Op(JEQ, _ETHERNET, "tagged0")
    yield Op(JEQ, _LOOPBACK, "tagged0")
    yield Op(LDX, NETWORK_HEADER)
    yield Op(LD, PROTOCOL)
    yield Op(JEQ, _IPV4, _FOUND)
    yield Op(JEQ, _IPV6, _FOUND, _DROP)
    for tags in range(_TAGS_MAX + 1):
        yield Label(f"tagged{tags}")
        header = _HEADER_BYTES + tags * _TAG_BYTES
        yield Op(LDX, header)
        yield Op(LDH, _TYPE_AT + tags * _TAG_BYTES)
        yield Op(JEQ, _IPV4, _FOUND)
        yield Op(JEQ, _IPV6, _FOUND)
        yield Op(JEQ, _PPPOE, f"pppoe{tags}")
        if tags < _TAGS_MAX:
            yield from (Op(JEQ, tag, f"tagged{tags + 1}") for tag in _TAGS)
        yield jump(_DROP)
        yield Label(f"pppoe{tags}")
        yield Op(LDX, header + _PPPOE_BYTES)
        yield Op(LDH, header + _PPPOE_BYTES - 2)
        yield from (Op(JEQ, protocol, _FOUND) for protocol in sorted(_PPP))
        yield jump(_DROP)


def _places() -> list[int]:
    """Where the header may be, the likeliest first."""
    tagged = [_HEADER_BYTES + tags * _TAG_BYTES for tags in range(_TAGS_MAX + 1)]
    return [*dict.fromkeys([tagged[0], NETWORK_HEADER, *tagged, *(place + _PPPOE_BYTES for place in tagged)])]


def _copies(expression: Sequence[Instruction]) -> Iterator[Part]:
    places = _places()
    yield Op(TXA)
    for place in places:
        yield Op(JEQ, place, f"at{place}_0")
    yield jump(_DROP)
    for place in places:
        for part in disassemble(expression, f"at{place}_"):
            yield from _moved(part, place)


def _moved(part: Part, place: int) -> Iterator[Part]:
    """An instruction for a header at the beginning, as one for a header that is elsewhere."""
    if not isinstance(part, Op):
        yield part
    elif part.code in {LD, LDH, LDB, LDX_HEADER, LD_X, LDH_X, LDB_X} and part.k < _SPECIAL:
        yield replace(part, k=(part.k + place) & _WORD)
    elif part.code == LD_LEN:
        yield part
        if place != NETWORK_HEADER:  # a link without a header
            yield Op(SUB, place)
    elif part.code == LDX_LEN:
        raise ValueError("an expression that computes with the length in this way is not understood")
    elif part.code == RETURN and part.k:
        yield replace(part, k=KEEP)
    else:
        yield part
