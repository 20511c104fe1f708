"""Packets that are counted more than once, as they pass more than one of the interfaces that are counted."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, final

from netledger.sources.packet_links import InterfaceChoice, Links

_SAME_PACKETS: Final = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "veth"}
_FORWARDING: Final = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
_SETTINGS: Final = Path("/proc/sys/net")
_SHOWN_MAX: Final = 5

log = logging.getLogger(__name__)


def pairs(links: Links, choice: InterfaceChoice) -> Iterator[tuple[str, str]]:
    """Two counted interfaces of which the first hands all its packets to the second: a VLAN and the card below it."""
    counted = {index: link for index, link in links.items() if choice.takes(link)}
    told: set[frozenset[int]] = set()
    for index, link in counted.items():
        lower = link.lower if link.kind in _SAME_PACKETS else None
        for other in (lower, link.master):
            # The two ends of a veth are each other's, but the kernel may have told it of one of them only.
            if other is not None and other in counted and frozenset({index, other}) not in told:
                told.add(frozenset({index, other}))
                yield link.name, counted[other].name


@final
class Twice:
    """Warns of them, of each two interfaces once. To be used from one thread at a time.

    Args:
        meter: its name.
        choice: what it counts.
    """

    def __init__(self, meter: str, choice: InterfaceChoice) -> None:
        self._meter = meter
        self._choice = choice
        self._told: set[tuple[str, str]] = set()
        self._is_forwarding_told = False

    def look(self, links: Links) -> None:
        """Looks at what is there now, in the network namespace of the calling thread."""
        found = set(pairs(links, self._choice))
        if new := sorted(found - self._told):
            named = ", ".join(f"{one} and {other}" for one, other in islice(new, _SHOWN_MAX))
            more = f", and {len(new) - _SHOWN_MAX} more" if len(new) > _SHOWN_MAX else ""
            hint = "each packet counts at both; leave one out with interfaces or interfaces_excluded"
            fields = {"meter": self._meter, "interfaces": f"{named}{more}", "hint": hint}
            log.warning("counted_at_both", extra={"fields": fields})
        self._told = found
        self._warn_of_forwarding([link.name for link in links.values() if self._choice.takes(link)])

    def _warn_of_forwarding(self, counted: list[str]) -> None:
        between = [name for name in counted if name != "lo"]
        if self._is_forwarding_told or len(between) <= 1 or not _is_forwarding():
            return
        self._is_forwarding_told = True
        hint = (
            "what this machine forwards counts where it comes in and where it goes out; name the interfaces of one side"
        )
        fields = {"meter": self._meter, "interfaces": len(between), "hint": hint}
        log.warning("forwarded_counts_twice", extra={"fields": fields})


def _is_forwarding() -> bool:
    for name in _FORWARDING:
        try:
            if (_SETTINGS / name).read_text().strip() == "1":
                return True
        except OSError:  # without this IP version
            continue
    return False
