"""The rules of one managed meter as they are in the kernel: installed, switched, inspected, removed."""

import ctypes
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from netledger.receipt import ZERO, Count
from netledger.sources import ruleset
from netledger.sources.listing import FLAGGED, Listing, difference, read, snapshot
from netledger.sources.nft import GarbledAnswerError, Nft
from netledger.sources.ruleset import SIDES, Ruleset, Side

_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "s390x": 356, "ppc64le": 365}
_MEMBARRIER_CMD_GLOBAL = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What somebody else did to the rules.

    Attributes:
        what: in words.
        counters_lost: whether the counters no longer tell what passed.
    """

    what: str
    counters_lost: bool


class KernelRules:
    """The rules of one meter in the network namespace of the calling thread.

    Every call runs nft once and blocks for it: a few ms to list, some tens to change (the kernel waits for packets
    under way). All may raise RulesetError and PermissionDeniedError.
    """

    def __init__(self, nft: Nft, rules: Ruleset) -> None:
        self._nft = nft
        self.rules = rules

    def list(self) -> Listing | None:
        """What is there; None without a table."""
        return list_table(self._nft, self.rules.table)

    def install(self, side: Side, found: Listing | None) -> None:
        """Puts all rules in order with ``side`` counting; counters that are there keep their values."""
        self._nft.apply(ruleset.install(self.rules, side, found))

    def switch(self, side: Side, found: Listing) -> None:
        """Lets ``side`` count from now on, if the rule that decides it is still the one in ``found``."""
        handle = found.in_chain(self.rules.chain("count"))[0].get("handle")
        self._nft.apply(ruleset.switch(self.rules, side, handle if isinstance(handle, int) else 0))

    def stop(self) -> None:
        """Lets no side count from now on."""
        self._nft.apply(ruleset.stop(self.rules))

    def remove(self, found: Listing) -> None:
        """Takes out what is there of this meter, and the table with the last of it."""
        self._nft.apply(ruleset.removal(self.rules, found))

    def is_in(self, found: Listing) -> bool:
        """Whether anything of this meter is in the table."""
        return any(name in found.chains for name in self.rules.chains()) or any(
            name in found.counters for name in self.rules.counters()
        )

    def side(self, found: Listing) -> Side | None:
        """The side that counts; None when none does."""
        targets = found.targets(self.rules.chain("count"))
        return next((side for side in SIDES if targets == [self.rules.chain(side)]), None)

    def snapshot(self, found: Listing | None) -> dict[str, JsonValue]:
        """What must stay as it is; empty without a table."""
        if found is None:
            return {}
        return snapshot(
            found,
            chains=self.rules.chains(),
            counters=self.rules.counters(),
            pointer=self.rules.chain("count"),
            targets=[self.rules.chain(side) for side in SIDES],
        )

    def counters(self, found: Listing | None, side: Side) -> dict[str, Count]:
        """What the counters of a side say, by name; zero where there is none."""
        names = (self.rules.counter(side, version) for version in ruleset.IP_VERSIONS)
        return {name: found.counters.get(name, ZERO) if found else ZERO for name in names}

    def disturbance(
        self,
        found: Listing | None,
        *,
        expected: Mapping[str, JsonValue],
        known: Mapping[str, Count],
        stopping: bool = False,
    ) -> Disturbance | None:
        """What somebody else did since the snapshot ``expected`` and the counter values ``known``; None: nothing.

        With ``stopping`` the rule that leads to a side may be gone: this program took it out.
        """
        if stopping:
            expected = _without_rules_of(self.rules.chain("count"), expected)
        if found is None:
            return Disturbance(f"table {ruleset.FAMILY} {self.rules.table} is gone", counters_lost=True)
        present = self.snapshot(found)
        what = [words for words in [difference(expected, present)] if words]
        replaced = [name for name in known if _thing(expected, name) != _thing(present, name)]
        reset = [name for name, count in known.items() if not found.counters.get(name, ZERO).covers(count)]
        what += [f"counter {name} was reset" for name in reset if name not in replaced]
        return Disturbance(", ".join(what), counters_lost=bool(replaced or reset)) if what else None


def list_table(nft: Nft, table: str) -> Listing | None:
    """What is in the accounting table; None when there is none.

    A table that somebody gave flags (``dormant`` stops all its rules) and that nft therefore cannot list is freed of
    them at once. The listing still shows that they were there, so that the disturbance is noticed.
    """
    try:
        return read(nft.table(ruleset.FAMILY, table))
    except GarbledAnswerError:
        nft.apply(ruleset.plain_table(table))
        found = read(nft.table(ruleset.FAMILY, table))
        return None if found is None else replace(found, table={**found.table, "flags": FLAGGED})


def passed(now: Mapping[str, Count], base: Mapping[str, Count]) -> Count | None:
    """What counters counted since ``base``; None when that cannot be told."""
    if not base or any(not now.get(name, ZERO).covers(count) for name, count in base.items()):
        return None
    total = ZERO
    for name, count in base.items():
        total += now[name] - count
    return total


def wait_for_packets_under_way() -> None:
    """Returns when every packet that was under way at the call has left the rules. Blocks for about 10 ms.

    A packet that entered the rules before a switch may still be counted and logged by the old side. Packets pass the
    hooks inside RCU read-side sections, and membarrier(2) with MEMBARRIER_CMD_GLOBAL waits for all of those. Where it
    is not allowed such a packet may miss the listener, which the receipt then shows.
    """
    number = _MEMBARRIER.get(platform.machine())
    if number is not None and os.name == "posix":
        _libc.syscall(ctypes.c_long(number), ctypes.c_int(_MEMBARRIER_CMD_GLOBAL), ctypes.c_uint(0), ctypes.c_int(0))


def _without_rules_of(chain: str, taken: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    things = taken.get("things")
    kept = things.items() if isinstance(things, dict) else ()
    ending = f" of chain {chain}"
    return {**taken, "things": {name: thing for name, thing in kept if not name.endswith(ending)}}


def _thing(taken: Mapping[str, JsonValue], counter: str) -> JsonValue:
    things = taken.get("things")
    return things.get(f"counter {counter}") if isinstance(things, dict) else None
