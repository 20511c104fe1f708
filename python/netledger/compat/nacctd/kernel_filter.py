"""The filters of the naccttab as a program for the kernel, so that what does not count is never copied. Pure.

The program only helps: each row is looked at by :mod:`netledger.compat.nacctd.filters` again. It lets pass what it
cannot read, such as a frame whose VLAN tags are still in it.
"""

from collections.abc import Iterator
from typing import Final

from netledger.compat.nacctd.naccttab import Network, Table
from netledger.sources.packet_filter import INSTRUCTIONS_MAX, KEEP
from netledger.sources.packet_program import (
    AND,
    JEQ,
    LD,
    NETWORK_HEADER,
    PROTOCOL,
    RETURN,
    Instruction,
    Label,
    Op,
    Part,
    assemble,
    jump,
)

__all__ = ["program_of"]

# linux/bpf_common.h; the other programs do without them.
_TAX: Final = 0x07
_JEQ_X: Final = 0x1D  # jeq x
_SOURCE, _DESTINATION = NETWORK_HEADER + 12, NETWORK_HEADER + 16
_IPV4: Final = 0x0800


def program_of(table: Table) -> tuple[Instruction, ...]:
    """The program; empty when there is nothing to filter, or so much that the kernel would not take it."""
    try:
        return assemble(list(_parts(table)), instructions_max=INSTRUCTIONS_MAX)
    except ValueError:
        return ()


def _parts(table: Table) -> Iterator[Part]:
    yield Op(LD, PROTOCOL)
    yield Op(JEQ, _IPV4, "limits", "keep")
    yield Label("limits")
    if table.hostlimits:
        for side in (_SOURCE, _DESTINATION):
            yield Op(LD, side)
            yield from (Op(JEQ, address, "local") for address in dict.fromkeys(table.hostlimits))
        yield jump("drop")
    yield Label("local")
    yield Op(LD, _SOURCE)
    yield Op(AND, table.ignoremask)
    yield Op(_TAX)
    yield Op(LD, _DESTINATION)
    yield Op(AND, table.ignoremask)
    yield Op(_JEQ_X, 0, "drop")
    yield from _within(table.ignorenets, "ignored")
    yield jump("keep")
    yield Label("ignored")
    yield from _within(table.dontignores, "keep")
    yield Label("drop")
    yield Op(RETURN, 0)
    yield Label("keep")
    yield Op(RETURN, KEEP)


def _within(networks: tuple[Network, ...], label: str) -> Iterator[Part]:
    for mask in dict.fromkeys(network.mask for network in networks):
        numbers = dict.fromkeys(network.number for network in networks if network.mask == mask)
        for side in (_SOURCE, _DESTINATION):
            yield Op(LD, side)
            yield Op(AND, mask)
            yield from (Op(JEQ, number, label) for number in numbers)
