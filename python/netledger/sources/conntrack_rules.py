"""The nft table of one conntrack meter: it makes the kernel track, and counts what conntrack counts.

``docs/explanation/conntrack.md`` tells why these rules see exactly the packets that end up in the counters of a flow.
The table belongs to the meter alone, so it is made anew whenever it is not as it was left.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from netledger.receipt import ZERO, Count
from netledger.sources.conntrack_proof import Bracket
from netledger.sources.listing import FLAGGED, Listing, difference, read, snapshot
from netledger.sources.nft import GarbledAnswerError, Json, Nft

FAMILY = "inet"

# conntrack looks a packet up at -200 and confirms a new flow at the end of all hooks (INT_MAX).
_BEFORE_LOOKUP, _BEHIND_LOOKUP, _BEFORE_CONFIRM = -201, -199, 2**31 - 2

AGAIN, KNOWN, NEW = "again", "known", "new"
"""Packets that come a second time; packets of flows in the table; packets that put a flow into it."""

COUNTERS = (KNOWN, NEW, AGAIN)

Reading: TypeAlias = Mapping[str, tuple[int, int]]
"""What counters said: packets and bytes, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackRules:
    """What one meter wants in the kernel. Pure.

    Attributes:
        meter: name of the meter.
        prove: whether to count; else there is only the rule that makes the kernel track.
        zones: only flows of these; empty: all.
    """

    meter: str
    prove: bool
    zones: tuple[int, ...] = ()

    @property
    def table(self) -> str:
        """Name of the table."""
        return f"netledger_ct_{self.meter}"

    def chains(self) -> tuple[str, ...]:
        """Names of all chains."""
        return ("track", *(name for name, *_ in _places())) if self.prove else ("track",)

    def install(self) -> list[Json]:
        """Makes the table anew, in one transaction."""
        commands: list[Json] = [self._table("add"), self._table("delete"), self._table("add")]
        # Nothing leads to this chain. But that a rule asks for the state of a flow makes the kernel track all packets.
        commands += [self._chain("track"), self._rule("track", [_ct("state", "new")])]
        if not self.prove:
            return commands
        commands += [{"add": {"counter": {"family": FAMILY, "table": self.table, "name": name}}} for name in COUNTERS]
        for name, hook, priority, counter in _places():
            commands.append(self._chain(name, type="filter", hook=hook, prio=priority, policy="accept"))
            if counter == NEW:
                commands.append(self._rule(name, [*self._wanted(), *_unconfirmed(), {"counter": counter}]))
            else:
                commands.append(self._rule(name, [*_error_of_a_flow(), {"accept": None}]))
                commands.append(self._rule(name, [_ct("status", "confirmed"), *self._wanted(), {"counter": counter}]))
        return commands

    def removal(self) -> list[Json]:
        """Takes the table out; nothing fails when somebody else has done it."""
        return [self._table("add"), self._table("delete")]

    def fingerprint(self) -> str:
        """Tells whether rules in the kernel were made from the same wishes by the same version of this code."""
        return hashlib.sha256(json.dumps(self.install(), sort_keys=True).encode()).hexdigest()[:16]

    def _wanted(self) -> list[Json]:
        if not self.zones:
            return []
        return [{"match": {"op": "==", "left": {"ct": {"key": "zone"}}, "right": {"set": [*self.zones]}}}]

    def _table(self, verb: str) -> Json:
        return {verb: {"table": {"family": FAMILY, "name": self.table}}}

    def _chain(self, name: str, **hook: Json) -> Json:
        return {"add": {"chain": {"family": FAMILY, "table": self.table, "name": name, **hook}}}

    def _rule(self, chain: str, expressions: Sequence[Json]) -> Json:
        place: dict[str, Json] = {"family": FAMILY, "table": self.table, "chain": chain}
        return {"add": {"rule": {**place, "expr": [*expressions]}}}


class ConntrackTable:
    """The table of one meter in the network namespace of the calling thread. Each call runs nft and blocks some ms.

    All may raise RulesetError and PermissionDeniedError.
    """

    def __init__(self, nft: Nft, rules: ConntrackRules) -> None:
        self._nft = nft
        self.rules = rules

    def changed(self, expected: Mapping[str, JsonValue]) -> str | None:
        """What somebody else did to the table since the snapshot ``expected``, in words; None: nothing."""
        present = self._list()
        if present is None:
            return f"table {FAMILY} {self.rules.table} is gone"
        return difference(expected, self._snapshot(present))

    def install(self) -> dict[str, JsonValue]:
        """Makes it anew, with counters at zero; gives the snapshot of how it must stay."""
        self._nft.apply(self.rules.install())
        present = self._list()
        return {} if present is None else self._snapshot(present)

    def bypasses(self) -> tuple[str, ...]:
        """Flowtables of anybody: what they carry passes neither conntrack nor these counters."""
        return tuple(self._nft.flowtables())

    def remove(self) -> None:
        """Takes it out."""
        self._nft.apply(self.rules.removal())

    def _list(self) -> Listing | None:
        try:
            return read(self._nft.table(FAMILY, self.rules.table))
        except GarbledAnswerError:
            # It has flags, and nft cannot list those: somebody else set them, and they may have put it to sleep.
            return Listing(version="", table={"flags": FLAGGED})

    def _snapshot(self, found: Listing) -> dict[str, JsonValue]:
        return snapshot(found, chains=found.chains, counters=COUNTERS, pointer="", targets=())


def bracket(
    before: Mapping[str, tuple[int, int]] | None, after: Mapping[str, tuple[int, int]] | None
) -> Bracket | None:
    """What the counters say passed, as the least and the most at one moment between two readings; None: not known."""
    if before is None or after is None or any(name not in said for name in COUNTERS for said in (before, after)):
        return None
    first = {name: Count(*before[name]) for name in COUNTERS}
    last = {name: Count(*after[name]) for name in COUNTERS}
    return Bracket(
        least=_less(first[KNOWN] + first[NEW], last[AGAIN]),
        most=_less(last[KNOWN] + last[NEW], first[AGAIN]),
    )


def _less(count: Count, other: Count) -> Count:
    """Number by number, and never below zero: packets may have passed between two readings."""
    return Count(max(ZERO.packets, count.packets - other.packets), max(ZERO.bytes, count.bytes - other.bytes))


def _places() -> list[tuple[str, str, int, str]]:
    """Chains that count: name, hook, priority, counter."""
    return [
        ("again_in", "prerouting", _BEFORE_LOOKUP, AGAIN),
        ("again_out", "output", _BEFORE_LOOKUP, AGAIN),
        ("known_in", "prerouting", _BEHIND_LOOKUP, KNOWN),
        ("known_out", "output", _BEHIND_LOOKUP, KNOWN),
        ("new_in", "input", _BEFORE_CONFIRM, NEW),
        ("new_out", "postrouting", _BEFORE_CONFIRM, NEW),
    ]


def _error_of_a_flow() -> list[Json]:
    """An ICMP error is given to the flow that it is about, and counted for none (nf_conntrack_handle_icmp)."""
    icmp: Json = {"set": ["icmp", "ipv6-icmp"]}
    return [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": icmp}}, _ct("state", "related")]


def _unconfirmed() -> list[Json]:
    """A packet that will put its flow into the table: an answer never does (nf_confirm)."""
    return [
        {"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "original"}},
        {"match": {"op": "!", "left": {"ct": {"key": "status"}}, "right": "confirmed"}},
    ]


def _ct(key: str, value: str) -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": key}}, "right": value}}
