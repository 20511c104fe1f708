"""The rules of one managed NFLOG meter, as commands for nft. Pure: builds, knows nothing of the kernel's state.

For a meter ``lan`` the table holds (``docs/explanation/nflog.md`` draws it):

- counters ``lan_a_ipv4``, ``lan_a_ipv6``, ``lan_b_ipv4``, ``lan_b_ipv6``: never reset;
- chains ``lan_a`` and ``lan_b``: count and log, one log group each;
- chain ``lan_count`` with one rule, ``goto lan_a`` or ``goto lan_b``: the only thing that a cut replaces;
- base chains ``lan_input``, ``lan_forward``, ``lan_output``: leave out what is not wanted, then ``jump lan_count``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Literal

from netledger.sources.interfaces import fits
from netledger.sources.listing import Listing
from netledger.sources.nft import Json

Side = Literal["a", "b"]
SIDES: tuple[Side, Side] = ("a", "b")
Hook = Literal["input", "forward", "output"]
HOOKS: tuple[Hook, Hook, Hook] = ("input", "forward", "output")

FAMILY = "inet"
IP_VERSIONS = ("ipv4", "ipv6")
PRIORITY = 90  # behind the filter rules (0), so that what they drop is not counted; before source NAT (100)
LOOPBACK = "lo"
ANY_INTERFACE = "*"

# The kernel takes 128 expressions in a rule; to compare a name takes two, and a packet that is forwarded has two names.
_COMPARED_MAX = 31

# How much of a packet the listener gets, by IP version: the fixed header (and IPv6's jumbo option), or enough for the
# ports behind the usual options and extension headers.
ADDRESSES_BYTES = {"ipv4": 20, "ipv6": 48}
PORTS_BYTES = {"ipv4": 64, "ipv6": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """What one meter wants in the kernel.

    Attributes:
        table: name of the inet table, shared by all meters.
        meter: name of the meter; the names of its objects start with it.
        groups: log groups of side a and b.
        hooks: where packets are counted.
        interfaces: only these (nft wildcards such as ``ppp*``; ``*`` is any). Empty: all but loopback.
        interfaces_excluded: never these.
        networks: only packets with source or destination in one of these. Empty: all.
        networks_excluded: no packet with source or destination in one of these.
        ports: whether the listener needs more than the addresses.
    """

    table: str
    meter: str
    groups: tuple[int, int]
    hooks: tuple[Hook, ...] = HOOKS
    interfaces: tuple[str, ...] = ()
    interfaces_excluded: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    networks_excluded: tuple[str, ...] = ()
    ports: bool = False

    def chain(self, what: str) -> str:
        """Name of a chain: ``what`` is a side, ``count`` or a hook."""
        return f"{self.meter}_{what}"

    def chains(self) -> tuple[str, ...]:
        """All names that chains of this meter may have, jumps before their targets."""
        return tuple(self.chain(what) for what in (*HOOKS, "count", *SIDES))

    def counter(self, side: Side, version: str) -> str:
        """Name of the counter of a side and an IP version."""
        return f"{self.meter}_{side}_{version}"

    def counters(self) -> tuple[str, ...]:
        """Names of all counters."""
        return tuple(self.counter(side, version) for side in SIDES for version in IP_VERSIONS)

    def group(self, side: Side) -> int:
        """The log group of a side."""
        return self.groups[SIDES.index(side)]

    def copy_bytes(self, version: str) -> int:
        """How much of a packet of this IP version is logged."""
        return (PORTS_BYTES if self.ports else ADDRESSES_BYTES)[version]

    @property
    def loopback(self) -> bool:
        """Whether loopback is counted too."""
        return LOOPBACK in self.interfaces

    @property
    def selected(self) -> tuple[str, ...] | None:
        """The interfaces to count besides loopback; None when they are not limited."""
        if not self.interfaces or ANY_INTERFACE in self.interfaces:
            return None
        return tuple(name for name in self.interfaces if name != LOOPBACK)

    def active_hooks(self) -> tuple[Hook, ...]:
        """The hooks that get a chain: with loopback alone there is nothing to count but at the output."""
        return tuple(hook for hook in HOOKS if hook in self.hooks and (hook == "output" or self.selected != ()))

    def fingerprint(self) -> str:
        """Tells whether rules in the kernel were made from the same wishes by the same version of this code."""
        text = json.dumps(install(self, "a", None), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def other_side(side: Side) -> Side:
    """The side that is free while ``side`` counts."""
    return "b" if side == "a" else "a"


def install(rules: Ruleset, side: Side, found: Listing | None) -> list[Json]:
    """Everything, with ``side`` counting, in one transaction; ``found`` is what is there now.

    What is there is mended and counters keep their values: packets that pass meanwhile meet the old or the new rules.
    """
    commands = plain_table(rules.table)
    commands += [_named(rules, "add", "counter", name) for name in rules.counters()]
    commands += _remove_unfit(rules, found)
    commands += [_named(rules, "add", "chain", rules.chain(what)) for what in (*SIDES, "count")]
    commands += [_base_chain(rules, hook) for hook in rules.active_hooks()]
    for what in (*SIDES, "count", *rules.active_hooks()):
        commands.append(_named(rules, "flush", "chain", rules.chain(what)))
    for each in SIDES:
        commands += [_rule(rules, each, _count_and_log(rules, each, version)) for version in IP_VERSIONS]
    commands.append(_rule(rules, "count", [_goto(rules, side)]))
    for hook in rules.active_hooks():
        commands += [_rule(rules, hook, [*conditions, {"return": None}]) for conditions in left_out(rules, hook)]
        commands.append(_rule(rules, hook, [{"jump": {"target": rules.chain("count")}}]))
    return commands


def switch(rules: Ruleset, side: Side, handle: int) -> list[Json]:
    """Lets ``side`` count from now on. ``handle``: of the rule in the chain ``count``; nft refuses when it is gone."""
    place: dict[str, Json] = {"family": FAMILY, "table": rules.table, "chain": rules.chain("count"), "handle": handle}
    return [{"replace": {"rule": {**place, "expr": [_goto(rules, side)]}}}]


def stop(rules: Ruleset) -> list[Json]:
    """Lets no side count from now on."""
    return [_named(rules, "flush", "chain", rules.chain("count"))]


def plain_table(name: str) -> list[Json]:
    """Takes all flags off the table, or makes it."""
    return [_command("add", "table", name=name)]


def removal(rules: Ruleset, found: Listing) -> list[Json]:
    """Takes this meter's objects out, and the table with the last of them."""
    chains = [name for name in rules.chains() if name in found.chains]
    counters = [name for name in rules.counters() if name in found.counters]
    if len(found.chains) == len(chains) and len(found.counters) == len(counters) and not found.others:
        return [_command("delete", "table", name=rules.table)]
    commands = [_named(rules, "flush", "chain", name) for name in chains]
    commands += [_named(rules, "delete", "chain", name) for name in chains]
    commands += [_named(rules, "delete", "counter", name) for name in counters]
    return commands


def _remove_unfit(rules: Ruleset, found: Listing | None) -> list[Json]:
    """Base chains that are not wanted any more, or that hang somewhere else than they should."""
    if found is None:
        return []
    commands: list[Json] = []
    for hook in HOOKS:
        chain = found.chains.get(rules.chain(hook))
        fits = chain is not None and (chain.get("hook"), chain.get("prio")) == (hook, PRIORITY)
        if chain is not None and not (fits and hook in rules.active_hooks()):
            commands += [_named(rules, verb, "chain", rules.chain(hook)) for verb in ("flush", "delete")]
    return commands


def _count_and_log(rules: Ruleset, side: Side, version: str) -> list[Json]:
    log: dict[str, Json] = {"group": rules.group(side), "snaplen": rules.copy_bytes(version)}
    # No queue-threshold: the kernel flushes at the least of rule, listener and buffer; large batches are cheap.
    return [_is_version(version), {"counter": rules.counter(side, version)}, {"log": log}]


def left_out(rules: Ruleset, hook: Hook) -> list[list[Json]]:
    """Conditions, each of which takes a packet out of the count at ``hook``."""
    sides = {"input": ("iifname",), "forward": ("iifname", "oifname"), "output": ("oifname",)}[hook]
    out: list[list[Json]] = []
    if hook == "input":
        # What leaves by loopback comes in by it: it is counted at the output hook, if at all. So are the multicast and
        # broadcast packets of this machine that the kernel hands back to local listeners (dev_loopback_xmit).
        out.append([_meta("iifname", "==", LOOPBACK)])
        source_type: Json = {"fib": {"result": "type", "flags": ["saddr"]}}
        looped: Json = {"match": {"op": "==", "left": source_type, "right": "local"}}
        out.append([_meta("pkttype", "==", {"set": ["broadcast", "multicast"]}), looped])
    elif hook == "output" and not rules.loopback:
        out.append([_meta("oifname", "==", LOOPBACK)])
    if rules.selected is not None:
        wanted = rules.selected + ((LOOPBACK,) if hook == "output" and rules.loopback else ())
        out.append([condition for key in sides for condition in _none_of(key, wanted)])
    out += [[_meta(key, "==", name)] for name in rules.interfaces_excluded for key in sides]
    return out + _networks_left_out(rules)


def _none_of(key: str, names: Sequence[str]) -> list[Json]:
    """That the interface is none of these, as conditions of one rule."""
    if len(names) <= _COMPARED_MAX:
        return [_meta(key, "!=", name) for name in names]
    # nft refuses elements of a set that overlap.
    apart = [name for name in dict.fromkeys(names) if not any(fits(one, name) for one in names if one != name)]
    return [_meta(key, "!=", {"set": list[Json](apart)})]


def _networks_left_out(rules: Ruleset) -> list[list[Json]]:
    left_out: list[list[Json]] = []
    for version, networks in _by_version(rules.networks_excluded).items():
        if any(network.prefixlen == 0 for network in networks):
            left_out.append([_is_version(version)])
        elif networks:
            left_out += [[_address(version, field, "==", networks)] for field in ("saddr", "daddr")]
    if not rules.networks:
        return left_out
    for version, networks in _by_version(rules.networks).items():
        if not networks:
            left_out.append([_is_version(version)])
        elif all(network.prefixlen for network in networks):
            left_out.append([_address(version, field, "!=", networks) for field in ("saddr", "daddr")])
    return left_out


def _by_version(networks: Iterable[str]) -> Mapping[str, Sequence[IPv4Network | IPv6Network]]:
    """Networks by IP version, without overlaps: nft refuses overlapping elements of a set."""
    parsed = [ip_network(network, strict=False) for network in networks]
    return {
        "ipv4": list(collapse_addresses(network for network in parsed if isinstance(network, IPv4Network))),
        "ipv6": list(collapse_addresses(network for network in parsed if isinstance(network, IPv6Network))),
    }


def _address(version: str, field: str, operator: str, networks: Sequence[IPv4Network | IPv6Network]) -> Json:
    elements: list[Json] = [
        str(network.network_address)
        if network.prefixlen == network.max_prefixlen
        else {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
        for network in networks
    ]
    protocol = "ip" if version == "ipv4" else "ip6"
    left: Json = {"payload": {"protocol": protocol, "field": field}}
    return {"match": {"op": operator, "left": left, "right": {"set": elements}}}


def _is_version(version: str) -> Json:
    return _meta("nfproto", "==", version)


def _meta(key: str, operator: str, value: Json) -> Json:
    return {"match": {"op": operator, "left": {"meta": {"key": key}}, "right": value}}


def _goto(rules: Ruleset, side: Side) -> Json:
    return {"goto": {"target": rules.chain(side)}}


def _base_chain(rules: Ruleset, hook: Hook) -> Json:
    place: dict[str, Json] = {"family": FAMILY, "table": rules.table, "name": rules.chain(hook)}
    return {"add": {"chain": {**place, "type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}}}


def _rule(rules: Ruleset, what: str, expressions: Sequence[Json]) -> Json:
    place: dict[str, Json] = {"family": FAMILY, "table": rules.table, "chain": rules.chain(what)}
    return {"add": {"rule": {**place, "expr": list(expressions)}}}


def _named(rules: Ruleset, verb: str, kind: str, name: str) -> Json:
    return {verb: {kind: {"family": FAMILY, "table": rules.table, "name": name}}}


def _command(verb: str, kind: str, *, name: str) -> Json:
    return {verb: {kind: {"family": FAMILY, "name": name}}}
