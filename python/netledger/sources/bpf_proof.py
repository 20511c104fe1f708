"""Counters of nftables beside the program: at the same hooks, of the same packets, by other code of the kernel."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

from pydantic import JsonValue

from netledger.receipt import Count
from netledger.sources.bpf_config import PRIORITY
from netledger.sources.bpf_disturbed import joined
from netledger.sources.conntrack_base import base_of
from netledger.sources.conntrack_proof import Bracket, Verdict, judge
from netledger.sources.listing import FLAGGED, Listing, difference, read, snapshot
from netledger.sources.nft import GarbledAnswerError, Json, Nft
from netledger.sources.ruleset import FAMILY, Ruleset, left_out
from netledger.sources.state import Facts

log = logging.getLogger(__name__)

_COUNTER: Final = "passed"
# Right behind the program, and not at its own number, see there: what is dropped between the two would not agree.
_PRIORITY: Final = PRIORITY + 1


class Proof:
    """The table of one meter in the network namespace of the calling thread. Each call runs nft and blocks some ms.

    All may raise RulesetError and PermissionDeniedError.

    Args:
        nft: how to run nft.
        rules: which packets.
        name: of the meter, and unlike that of a meter of another daemon in this network namespace.
    """

    def __init__(self, nft: Nft, rules: Ruleset, name: str) -> None:
        self._nft = nft
        self._rules = rules
        self._table = f"netledger_bpf_{name}"

    def install(self) -> dict[str, JsonValue]:
        """Makes the table anew, its counter at zero; gives the snapshot of how it must stay."""
        self._nft.apply(commands(self._table, self._rules))
        found = self._listed()
        return {} if found is None else _snapshot(found)

    def look(self, expected: Mapping[str, JsonValue]) -> tuple[Count | None, str | None]:
        """What has passed since it was made; or None, and what somebody else did to the table since."""
        found = self._listed()
        if found is None:
            return None, f"table {FAMILY} {self._table} is gone"
        what = difference(expected, _snapshot(found))
        count = found.counters.get(_COUNTER)
        return (count, None) if what is None and count is not None else (None, what or f"counter {_COUNTER} is gone")

    def remove(self) -> None:
        """Takes it out; nothing fails when somebody else has done it."""
        self._nft.apply([_whole(self._table, "add"), _whole(self._table, "delete")])

    def _listed(self) -> Listing | None:
        try:
            return read(self._nft.table(FAMILY, self._table))
        except GarbledAnswerError:
            # It has flags, and nft cannot list those: somebody else set them, and they may have put it to sleep.
            return Listing(version="", table={"flags": FLAGGED})


def commands(table: str, rules: Ruleset) -> list[Json]:
    """Makes the table anew, in one transaction. Pure."""
    made: list[Json] = [_whole(table, "add"), _whole(table, "delete"), _whole(table, "add")]
    made.append({"add": {"counter": {"family": FAMILY, "table": table, "name": _COUNTER}}})
    for hook in rules.active_hooks():
        place: dict[str, Json] = {"family": FAMILY, "table": table, "name": hook}
        base: dict[str, Json] = {**place, "type": "filter", "hook": hook, "prio": _PRIORITY, "policy": "accept"}
        made.append({"add": {"chain": base}})
        made += [_rule(table, hook, [*conditions, {"return": None}]) for conditions in left_out(rules, hook)]
        made.append(_rule(table, hook, [{"counter": _COUNTER}]))
    return made


def bracket(before: Count | None, after: Count | None) -> Bracket | None:
    """What the counters said at a moment between two readings; None: not known. Pure."""
    return None if before is None or after is None else Bracket(least=before, most=after)


def _snapshot(found: Listing) -> dict[str, JsonValue]:
    return snapshot(found, chains=found.chains, counters=(_COUNTER,), pointer="", targets=())


def _whole(table: str, verb: str) -> Json:
    return {verb: {"table": {"family": FAMILY, "name": table}}}


def _rule(table: str, chain: str, expressions: list[Json]) -> Json:
    return {"add": {"rule": {"family": FAMILY, "table": table, "chain": chain, "expr": expressions}}}


@final
class Prover:
    """The proof of one meter, if it is asked for: makes the table anew when it is not as it was left.

    Args:
        proof: the table.
        is_wanted: whether to prove.
    """

    def __init__(self, proof: Proof, *, is_wanted: bool) -> None:
        self._proof = proof
        self._is_wanted = is_wanted

    def watched(self, facts: Facts) -> Facts:
        """The open generation, with a table that counts: one that somebody changed tells nothing of it any more."""
        if not self._is_wanted:
            self.end(facts)
            return replace(facts, rules={}, base={})
        what = self._proof.look(facts.rules)[1] if facts.rules else None
        if facts.rules and what is None:
            return facts
        said = facts.said
        if what is not None:
            log.warning("bpf_proof_changed", extra={"fields": {"meter": facts.meter, "seq": facts.seq, "what": what}})
            said = joined(said, f"the counters that prove were changed by someone else: {what}")
        return replace(facts, rules=self._proof.install(), base={}, said=said)

    def read(self, facts: Facts) -> Count | None:
        """What the counters say now; None: nothing that can be trusted."""
        return self._proof.look(facts.rules)[0] if self._proves(facts) else None

    def verdict(self, facts: Facts, total: Count, before: Count | None, after: Count | None) -> Verdict | None:
        """What the counters say of a generation that ended between two readings; None: they were not asked."""
        if not self._proves(facts):
            return None
        now = bracket(before, after)
        verdict = judge(total, base=base_of(facts), now=now)
        return verdict if now is not None else replace(verdict, why="the counters could not be read at its end")

    def end(self, facts: Facts) -> None:
        """Takes the table out, if there is one of this meter."""
        if facts.rules:
            self._proof.remove()

    def _proves(self, facts: Facts) -> bool:
        """Whether it is wanted, or was when the generation began: who finishes that one may have other wishes."""
        return self._is_wanted or bool(facts.rules)
