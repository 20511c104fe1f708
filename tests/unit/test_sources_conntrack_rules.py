"""The commands for the table of a conntrack meter, and what its counters say between two readings."""

import json
from typing import cast

from netledger.receipt import Count
from netledger.sources.conntrack_proof import Bracket
from netledger.sources.conntrack_rules import COUNTERS, ConntrackRules, bracket
from netledger.sources.nft import Json

PLAIN = ConntrackRules(meter="flows", prove=True)


def added(rules: ConntrackRules, kind: str) -> list[dict[str, Json]]:
    commands = [cast("dict[str, dict[str, dict[str, Json]]]", command) for command in rules.install()]
    return [command["add"][kind] for command in commands if kind in command.get("add", {})]


def test_without_a_proof_there_is_only_what_makes_the_kernel_track() -> None:
    rules = ConntrackRules(meter="flows", prove=False)
    (chain,) = added(rules, "chain")
    assert "hook" not in chain, "it costs no packet anything"
    assert added(rules, "counter") == []
    assert '"ct"' in json.dumps(added(rules, "rule"))


def test_packets_are_counted_right_behind_the_lookup_and_right_before_a_flow_is_confirmed() -> None:
    places = {(str(one["hook"]), one["prio"]) for one in added(PLAIN, "chain") if "hook" in one}
    assert places == {
        ("prerouting", -201),
        ("output", -201),
        ("prerouting", -199),
        ("output", -199),
        ("input", 2**31 - 2),
        ("postrouting", 2**31 - 2),
    }
    assert {one["name"] for one in added(PLAIN, "counter")} == set(COUNTERS)


def test_zones_are_asked_for_wherever_packets_are_counted() -> None:
    rules = added(ConntrackRules(meter="flows", prove=True, zones=(3, 7)), "rule")
    counting = [json.dumps(rule) for rule in rules if '"counter"' in json.dumps(rule)]
    assert len(counting) == 6
    assert all('{"set": [3, 7]}' in rule for rule in counting)


def test_other_wishes_have_another_fingerprint() -> None:
    wishes = [PLAIN, ConntrackRules(meter="flows", prove=False), ConntrackRules(meter="flows", prove=True, zones=(0,))]
    assert len({one.fingerprint() for one in wishes}) == len(wishes)


def test_what_comes_again_is_taken_off_on_the_safe_side_at_both_ends() -> None:
    before = {"known": (10, 1000), "new": (2, 200), "again": (3, 300)}
    after = {"known": (14, 1400), "new": (2, 200), "again": (4, 400)}
    assert bracket(before, after) == Bracket(least=Count(8, 800), most=Count(13, 1300))
    assert bracket(before, before) == Bracket(least=Count(9, 900), most=Count(9, 900))


def test_a_reading_without_all_counters_says_nothing() -> None:
    whole = {"known": (10, 1000), "new": (2, 200), "again": (3, 300)}
    assert bracket(None, None) is None
    assert bracket({}, whole) is None
    assert bracket(whole, {"known": (10, 1000), "new": (2, 200)}) is None
