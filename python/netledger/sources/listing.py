"""What nft lists of the accounting table: which rules are there, whether untouched, what their counters say. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netledger.receipt import ZERO, Count
from netledger.sources.nft import Json, items

JUMPS = ("jump", "goto")
FLAGGED = "set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One table as nft lists it.

    Attributes:
        version: of nft; another one may write the same rules in another way.
        table: the table itself.
        chains: by name.
        rules: in the order of the listing, with chain, handle and expressions.
        counters: what named counters say.
        handles: of named counters.
        others: names of objects of other kinds, such as sets.
    """

    version: str
    table: Mapping[str, Json]
    chains: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    rules: tuple[Mapping[str, Json], ...] = ()
    counters: Mapping[str, Count] = field(default_factory=dict)
    handles: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    def in_chain(self, name: str) -> list[Mapping[str, Json]]:
        """The rules of a chain, in order."""
        return [rule for rule in self.rules if rule.get("chain") == name]

    def log_groups(self) -> set[int]:
        """All NFLOG groups that rules of the table log to."""
        return {
            group
            for rule in self.rules
            for log in _expressions(rule, ("log",))
            if isinstance(log, dict) and isinstance(group := log.get("group"), int)
        }

    def targets(self, chain: str) -> list[str]:
        """The chains that the rules of ``chain`` lead to."""
        return [target for rule in self.in_chain(chain) for target in _targets(rule)]


def read(answer: Json) -> Listing | None:
    """Reads an answer of nft about one table; None stays None."""
    if answer is None:
        return None
    table: Mapping[str, Json] = {}
    chains: dict[str, Mapping[str, Json]] = {}
    rules: list[Mapping[str, Json]] = []
    counters: dict[str, Count] = {}
    handles: dict[str, int] = {}
    others: list[str] = []
    version = ""
    for item in items(answer):
        for kind, thing in item.items():
            if not isinstance(thing, dict):
                continue
            name = str(thing.get("name", ""))
            match kind:
                case "metainfo":
                    version = str(thing.get("version", ""))
                case "table":
                    # Which flags, nft 1.0.6 cannot tell: it writes what happens to lie in its memory.
                    table = {**thing, "flags": FLAGGED} if "flags" in thing else thing
                case "chain":
                    chains[name] = thing
                case "rule":
                    rules.append(thing)
                case "counter":
                    counters[name] = Count(_integer(thing, "packets"), _integer(thing, "bytes"))
                    handles[name] = _integer(thing, "handle")
                case _:
                    others.append(name)
    return Listing(
        version=version,
        table=table,
        chains=chains,
        rules=tuple(rules),
        counters=counters,
        handles=handles,
        others=tuple(others),
    )


def snapshot(
    found: Listing, *, chains: Iterable[str], counters: Iterable[str], pointer: str, targets: Iterable[str]
) -> dict[str, Json]:
    """What must stay as it is while a meter counts, without what its own work changes.

    Counter values are left out, and so is which of ``targets`` the rule of the chain ``pointer`` leads to. Rules of
    other chains that lead into the meter's chains are part of it: they would count packets twice.
    """
    own = tuple(chains)
    things: dict[str, Json] = {"table": {**found.table}}
    for name in own:
        if name in found.chains:
            things[f"chain {name}"] = {**found.chains[name]}
    for name in counters:
        if name in found.handles:
            things[f"counter {name}"] = {"handle": found.handles[name]}
    allowed = set(targets)
    for position, rule in enumerate(found.rules):
        chain = str(rule.get("chain"))
        if chain not in own and not set(_targets(rule)) & set(own):
            continue
        expressions = rule.get("expr")
        if chain == pointer and len(found.in_chain(chain)) == 1 and set(_targets(rule)) <= allowed:
            expressions = "goto a side"
        order = sum(1 for earlier in found.rules[:position] if earlier.get("chain") == chain)
        things[f"rule {rule.get('handle')} of chain {chain}"] = {"position": order, "expr": expressions}
    return {"version": found.version, "things": things}


def difference(expected: Mapping[str, Json], present: Mapping[str, Json]) -> str | None:
    """What has been changed between two snapshots, in words for an operator; None when nothing has."""
    before, after = expected.get("things"), present.get("things")
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "what was expected is not known"
    gone = [f"{name} is gone" for name in before if name not in after]
    new = [f"{name} is new" for name in after if name not in before]
    # Another version of nft may write the same expression in another way; handles tell enough then.
    same_words = expected.get("version") == present.get("version")
    changed = [f"{name} is changed" for name in before if same_words and name in after and before[name] != after[name]]
    return ", ".join(gone + new + changed) or None


def total(values: Iterable[Count]) -> Count:
    """The sum."""
    return sum(values, ZERO)


def _targets(rule: Mapping[str, Json]) -> list[str]:
    return [str(verdict.get("target")) for verdict in _expressions(rule, JUMPS) if isinstance(verdict, dict)]


def _expressions(rule: Mapping[str, Json], kinds: Iterable[str]) -> list[Json]:
    listed = rule.get("expr")
    expressions = listed if isinstance(listed, list) else []
    return [one[kind] for one in expressions if isinstance(one, dict) for kind in kinds if kind in one]


def _integer(thing: Mapping[str, Json], name: str) -> int:
    value = thing.get(name)
    return value if isinstance(value, int) else 0
