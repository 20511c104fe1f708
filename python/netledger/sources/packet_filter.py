"""Which packets a packet socket gets: networks and an expression as one program for the kernel. Pure but for libpcap.

The program is the rest of a longer one: the native core puts the choice of interfaces and of IP before it, and decides
how much of a packet is copied. It reads packets from their IP header on, which is where the kernel says that the
network header begins. A frame in which a tag or PPPoE stands before that passes the kernel as it is, and the core runs
the same program on what is inside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netledger.errors import UsageError
from netledger.sources.packet_expression import BEFORE_THE_HEADER, compiled
from netledger.sources.packet_networks import membership, ranges
from netledger.sources.packet_program import (
    ADD,
    AND,
    JEQ,
    LD,
    LD_LEN,
    LD_X,
    LDB,
    LDB_X,
    LDH,
    LDH_X,
    LDX_HEADER,
    LDX_LEN,
    NETWORK_HEADER,
    RETURN,
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

_DROP, _CHOSEN = "drop", "chosen"
_VERSION_MASK: Final = 0xF0
_IPV6_HEADER_BYTES: Final = 40
_SPECIAL: Final = 0x8000_0000  # loads from here on are not of the packet
_OF_THE_PACKET: Final = frozenset({LD, LDH, LDB, LDX_HEADER, LD_X, LDH_X, LDB_X})


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
        parts = [*self._by_networks(), Label(_CHOSEN)]
        if self.expression:
            parts += _from_the_header(compiled(self.expression))
        parts += [Op(RETURN, KEEP), Label(_DROP), Op(RETURN, 0)]
        return assemble(parts, instructions_max=INSTRUCTIONS_MAX)

    def _by_networks(self) -> Iterator[Part]:
        if not (self.networks or self.networks_excluded):
            return
        yield Op(LDB, NETWORK_HEADER)
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
        ends = (("source", family.source), ("destination", family.destination))
        for end, offset in ends if excluded else ():
            name = f"ipv{family.version}_not_{end}"
            yield from _is_in(excluded, family, offset, name=name, yes=_DROP, no=f"{name}_")
            yield Label(f"{name}_")
        for end, offset in ends if wanted else ():
            name = f"ipv{family.version}_{end}"
            yield from _is_in(wanted, family, offset, name=name, yes=_CHOSEN, no=f"{name}_")
            yield Label(f"{name}_")
        yield jump(_DROP if self.networks else _CHOSEN)


def _is_in(
    networks: Sequence[tuple[int, int]], family: _Family, offset: int, *, name: str, yes: str, no: str
) -> list[Part]:
    return membership(networks, offset=NETWORK_HEADER + offset, words=family.words, name=name, yes=yes, no=no)


def _from_the_header(expression: Sequence[Instruction]) -> Iterator[Part]:
    """A program for packets that begin with the IP header, as one for packets of which it is a part."""
    for number, part in enumerate(disassemble(expression, "expression")):
        if not isinstance(part, Op):
            yield part
        elif part.code in _OF_THE_PACKET:
            if part.k >= _SPECIAL:
                raise UsageError("filter", "compile", "it is about more than the packet", BEFORE_THE_HEADER)
            yield replace(part, k=NETWORK_HEADER + part.k)
        elif part.code == LDX_LEN:
            raise UsageError("filter", "compile", "its arithmetic with the length is not understood", BEFORE_THE_HEADER)
        elif part.code == LD_LEN:
            yield from _length(f"length{number}")
        elif part.code == RETURN and part.k:
            yield replace(part, k=KEEP)
        else:
            yield part


def _length(name: str) -> Iterator[Part]:
    """The length that the IP header says: that of the frame has the link's header in it, and padding."""
    yield Op(LDB, NETWORK_HEADER)
    yield Op(AND, _VERSION_MASK)
    yield Op(JEQ, _FAMILIES[1].nibble, f"{name}_ipv6")
    yield Op(LDH, NETWORK_HEADER + 2)
    yield jump(f"{name}_end")
    yield Label(f"{name}_ipv6")
    yield Op(LDH, NETWORK_HEADER + 4)
    yield Op(ADD, _IPV6_HEADER_BYTES)
    yield Label(f"{name}_end")
