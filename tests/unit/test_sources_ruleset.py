"""The commands for nft, as data."""

import json
from dataclasses import replace
from typing import cast

from netledger.receipt import ZERO
from netledger.sources import ruleset
from netledger.sources.listing import Listing
from netledger.sources.nft import Json
from netledger.sources.ruleset import Ruleset

PLAIN = Ruleset(table="netledger", meter="lan", groups=(30000, 30001))


def of_kind(commands: list[Json], verb: str, kind: str) -> list[dict[str, Json]]:
    """The objects of one kind that are added, flushed, deleted."""
    pairs = [cast("dict[str, dict[str, dict[str, Json]]]", command) for command in commands]
    return [command[verb][kind] for command in pairs if verb in command and kind in command[verb]]


def names(commands: list[Json], verb: str, kind: str) -> list[str]:
    return [str(thing["name"]) for thing in of_kind(commands, verb, kind)]


def rules(wishes: Ruleset, what: str) -> list[str]:
    """The expressions of a chain's rules, as text."""
    added = of_kind(ruleset.install(wishes, "a", None), "add", "rule")
    return [json.dumps(rule["expr"]) for rule in added if rule["chain"] == wishes.chain(what)]


def test_a_meter_has_four_counters_and_six_chains() -> None:
    commands = ruleset.install(PLAIN, "a", None)
    assert names(commands, "add", "counter") == ["lan_a_ipv4", "lan_a_ipv6", "lan_b_ipv4", "lan_b_ipv6"]
    assert names(commands, "add", "chain") == ["lan_a", "lan_b", "lan_count", "lan_input", "lan_forward", "lan_output"]


def test_hooks_lie_behind_the_filters_and_before_source_nat() -> None:
    bases = [chain for chain in of_kind(ruleset.install(PLAIN, "a", None), "add", "chain") if "hook" in chain]
    assert [(chain["hook"], chain["prio"], chain["policy"]) for chain in bases] == [
        ("input", 90, "accept"), ("forward", 90, "accept"), ("output", 90, "accept"),
    ]  # fmt: skip


def test_each_side_counts_and_logs_both_versions_to_its_own_group() -> None:
    for side, group in (("a", 30000), ("b", 30001)):
        four, six = rules(PLAIN, side)
        assert f'"counter": "lan_{side}_ipv4"' in four
        assert f'"log": {{"group": {group}, "snaplen": 20}}' in four
        assert f'"log": {{"group": {group}, "snaplen": 48}}' in six
        assert "queue-threshold" not in four + six


def test_ports_in_the_key_take_longer_copies() -> None:
    four, six = rules(replace(PLAIN, ports=True), "a")
    assert ('"snaplen": 64' in four, '"snaplen": 128' in six) == (True, True)


def test_loopback_alone_is_counted_at_the_output_only() -> None:
    lo = replace(PLAIN, interfaces=("lo",))
    assert lo.active_hooks() == ("output",)
    assert replace(PLAIN, interfaces=("lo", "eth0")).active_hooks() == ("input", "forward", "output")
    assert replace(PLAIN, interfaces=("lo", "*")).selected is None


def test_overlapping_networks_are_merged_because_nft_refuses_them() -> None:
    wishes = replace(PLAIN, networks=("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "192.0.2.0/32"))
    (chosen,) = [rule for rule in rules(wishes, "forward") if "saddr" in rule]
    assert '"set": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"prefix": {"addr": "192.0.2.0", "len": 31}}]' in chosen


def test_networks_of_one_version_leave_the_other_version_out() -> None:
    texts = rules(replace(PLAIN, networks=("10.0.0.0/8",)), "forward")
    assert any('"right": "ipv6"' in text and '"return"' in text for text in texts)


def test_a_switch_is_one_command() -> None:
    (command,) = ruleset.switch(PLAIN, "b", 16)
    assert json.loads(json.dumps(command)) == {
        "replace": {
            "rule": {
                "family": "inet", "table": "netledger", "chain": "lan_count", "handle": 16,
                "expr": [{"goto": {"target": "lan_b"}}],
            }
        }
    }  # fmt: skip


def test_base_chains_that_hang_elsewhere_are_made_anew_and_right_ones_are_kept() -> None:
    found = Listing(
        version="1",
        table={},
        chains={
            "lan_input": {"hook": "input", "prio": 0},
            "lan_forward": {"hook": "forward", "prio": 90},
            "lan_output": {"hook": "output", "prio": 90},
        },
    )
    commands = ruleset.install(replace(PLAIN, hooks=("input", "forward")), "a", found)
    assert names(commands, "delete", "chain") == ["lan_input", "lan_output"]


def test_removal_takes_chains_before_their_targets_and_the_table_only_when_nothing_else_is_there() -> None:
    own = {name: {"name": name} for name in PLAIN.chains()}
    counters = dict.fromkeys(PLAIN.counters(), ZERO)
    found = Listing(version="1", table={}, chains=own, counters=counters)
    assert names(ruleset.removal(PLAIN, found), "delete", "table") == ["netledger"]
    shared = replace(found, chains={**own, "dmz_a": {"name": "dmz_a"}})
    commands = ruleset.removal(PLAIN, shared)
    assert names(commands, "delete", "table") == []
    assert names(commands, "delete", "chain") == list(PLAIN.chains())
    assert PLAIN.chains()[-2:] == ("lan_a", "lan_b")
    assert names(commands, "delete", "counter") == list(PLAIN.counters())
    assert names(ruleset.removal(PLAIN, replace(found, others=("a set",))), "delete", "table") == []


def test_names_of_different_meters_never_meet() -> None:
    for other in ("lan_a", "lan_count", "lan_b", "la", "lan_input"):
        theirs = replace(PLAIN, meter=other)
        assert set(PLAIN.chains()).isdisjoint(theirs.chains())
        assert set(PLAIN.counters()).isdisjoint(theirs.counters())


def test_the_fingerprint_tells_other_wishes_apart_and_nothing_else() -> None:
    assert PLAIN.fingerprint() == replace(PLAIN).fingerprint()
    others = (
        replace(PLAIN, interfaces=("eth0",)), replace(PLAIN, hooks=("input",)), replace(PLAIN, ports=True),
        replace(PLAIN, networks_excluded=("10.0.0.0/8",)), replace(PLAIN, groups=(1, 2)),
    )  # fmt: skip
    assert len({PLAIN.fingerprint(), *(other.fingerprint() for other in others)}) == 6
