"""What is counted at all: the filters of the naccttab in their order. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from netledger.compat.nacctd.naccttab import Network, Table

__all__ = ["filter_of"]

Filter: TypeAlias = Callable[[int, int, str], bool]
"""Whether packets between two addresses on an interface count."""


def filter_of(table: Table) -> Filter:
    """The filters of a naccttab.

    ``iflimit`` and ``hostlimit`` both hold where both are given. ``dontignore`` is an exception to ``ignorenet`` alone.
    """
    limits, notdevs, hosts = frozenset(table.iflimits), frozenset(table.notdevs), frozenset(table.hostlimits)
    ignored, exceptions, local = _by_mask(table.ignorenets), _by_mask(table.dontignores), table.ignoremask

    def counts(source: int, destination: int, device: str) -> bool:
        if device in notdevs or (limits and device not in limits):
            return False
        if hosts and source not in hosts and destination not in hosts:
            return False
        if not (source ^ destination) & local:
            return False
        return not _touches(ignored, source, destination) or _touches(exceptions, source, destination)

    return counts


def _by_mask(networks: Iterable[Network]) -> list[tuple[int, set[int]]]:
    """Networks by their masks: there are few of those, however long the list is."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    for network in networks:
        found[network.mask].add(network.number)
    return list(found.items())


def _touches(networks: list[tuple[int, set[int]]], source: int, destination: int) -> bool:
    return any(source & mask in numbers or destination & mask in numbers for mask, numbers in networks)
