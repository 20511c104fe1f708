"""Is an address in any of some networks: as instructions for the kernel's packet filter. Pure.

Networks become ranges of numbers that do not touch, and the ranges a tree of comparisons: a thousand networks are ten
comparisons deep. An IPv6 address is four words; the next word is looked at only where the one before leaves it open.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import count
from typing import Final, TypeAlias

from netledger.sources.packet_program import JGE, LD, Label, Op, Part, jump

_WORD_BITS: Final = 32
_WORD_MAX: Final = 0xFFFF_FFFF

Range: TypeAlias = tuple[int, int]
"""Addresses as numbers, both ends included."""
Fresh: TypeAlias = Callable[[], str]
"""Makes a label that nothing else has."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Values of one word from ``first`` on, up to the next stretch: all in, all out, or (of one value) it depends."""

    first: int
    is_in: bool
    within: tuple[Range, ...] = ()


def ranges(networks: Sequence[str], version: int) -> list[Range]:
    """The addresses of one IP version, sorted, in as few ranges as there can be."""
    parsed = [ip_network(text) for text in networks]
    if version == 4:  # noqa: PLR2004  (the IP version)
        of_version: Iterator[IPv4Network | IPv6Network] = iter(
            collapse_addresses(one for one in parsed if isinstance(one, IPv4Network))
        )
    else:
        of_version = iter(collapse_addresses(one for one in parsed if isinstance(one, IPv6Network)))
    found: list[Range] = []
    for network in sorted((int(one.network_address), int(one.broadcast_address)) for one in of_version):
        if found and found[-1][1] + 1 == network[0]:
            found[-1] = (found[-1][0], network[1])
        else:
            found.append(network)
    return found


def membership(wanted: Sequence[Range], *, offset: int, words: int, name: str, yes: str, no: str) -> list[Part]:
    """Jumps to ``yes`` when the address at ``offset`` is in one of ``wanted``, else to ``no``.

    ``words``: 1 for IPv4, 4 for IPv6. ``name`` begins the labels that are made. Changes A.
    """
    numbers = count()
    return list(_word(list(wanted), offset, words, (yes, no), lambda: f"{name}{next(numbers)}"))


def _word(wanted: Sequence[Range], offset: int, words: int, ends: tuple[str, str], fresh: Fresh) -> Iterator[Part]:
    stretches = _stretches(wanted, _WORD_BITS * (words - 1))
    deeper = {stretch.first: fresh() for stretch in stretches if stretch.within}
    if len(stretches) == 1 and not deeper:
        yield jump(ends[0] if stretches[0].is_in else ends[1])
        return
    yield Op(LD, offset)
    yield from _tree(stretches, deeper, ends, fresh)
    for stretch in stretches:
        if stretch.within:
            yield Label(deeper[stretch.first])
            yield from _word(stretch.within, offset + _WORD_BITS // 8, words - 1, ends, fresh)


def _tree(stretches: Sequence[_Stretch], deeper: dict[int, str], ends: tuple[str, str], fresh: Fresh) -> Iterator[Part]:
    """Halves until one stretch is left; the comparison that leads to it jumps right where it leads."""
    if len(stretches) == 1:
        yield jump(_target(stretches[0], deeper, ends))
        return
    middle = len(stretches) // 2
    low, high = stretches[:middle], stretches[middle:]
    names = [_target(half[0], deeper, ends) if len(half) == 1 else fresh() for half in (high, low)]
    yield Op(JGE, high[0].first, names[0], names[1])
    for half, name in zip((high, low), names, strict=True):
        if len(half) > 1:
            yield Label(name)
            yield from _tree(half, deeper, ends, fresh)


def _target(stretch: _Stretch, deeper: dict[int, str], ends: tuple[str, str]) -> str:
    if stretch.within:
        return deeper[stretch.first]
    return ends[0] if stretch.is_in else ends[1]


def _stretches(wanted: Sequence[Range], rest_bits: int) -> list[_Stretch]:
    """What each value of the first word says, from 0 on; neighbours differ."""
    rest_max = (1 << rest_bits) - 1
    open_values: dict[int, list[Range]] = {}
    full: list[Range] = []
    for low, high in wanted:
        first, last = low >> rest_bits, high >> rest_bits
        if first == last and (low & rest_max, high & rest_max) != (0, rest_max):
            open_values.setdefault(first, []).append((low & rest_max, high & rest_max))
            continue
        if low & rest_max:
            open_values.setdefault(first, []).append((low & rest_max, rest_max))
            first += 1
        if high & rest_max != rest_max:
            open_values.setdefault(last, []).append((0, high & rest_max))
            last -= 1
        if first <= last:
            full.append((first, last))
    return _side_by_side(full, open_values)


def _side_by_side(full: Sequence[Range], open_values: dict[int, list[Range]]) -> list[_Stretch]:
    known = [(low, high, _Stretch(low, is_in=True)) for low, high in full]
    for value, within in open_values.items():
        known.append((value, value, _Stretch(value, is_in=False, within=tuple(within))))
    found, following = [], 0
    for low, high, stretch in sorted(known, key=lambda each: each[0]):
        if low > following:
            found.append(_Stretch(following, is_in=False))
        if not (found and stretch.is_in and found[-1].is_in):  # two full ones that touch are one
            found.append(stretch)
        following = high + 1
    if following <= _WORD_MAX:
        found.append(_Stretch(following, is_in=False))
    return found
