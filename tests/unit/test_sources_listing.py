"""What nft lists, read and compared."""

import copy
from typing import cast

import pytest

from netledger.receipt import Count
from netledger.sources.listing import Listing, difference, read, snapshot
from netledger.sources.nft import Json

ANSWER: Json = {
    "nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "netledger", "handle": 3}},
        {"counter": {"name": "lan_a_ipv4", "table": "netledger", "handle": 1, "packets": 7, "bytes": 700}},
        {"counter": {"name": "lan_b_ipv4", "table": "netledger", "handle": 2, "packets": 1, "bytes": 60}},
        {"set": {"name": "mine", "table": "netledger", "handle": 9}},
        {"chain": {"table": "netledger", "name": "lan_a", "handle": 4}},
        {"chain": {"table": "netledger", "name": "lan_count", "handle": 5}},
        {"chain": {"table": "netledger", "name": "dmz_a", "handle": 6}},
        {"rule": {"chain": "lan_a", "handle": 10, "expr": [{"counter": "lan_a_ipv4"}, {"log": {"group": 30000}}]}},
        {"rule": {"chain": "lan_count", "handle": 11, "expr": [{"goto": {"target": "lan_a"}}]}},
        {"rule": {"chain": "dmz_a", "handle": 12, "expr": [{"log": {"group": 30002}}, {"log": {"prefix": "x"}}]}},
    ]
}


def listing(answer: Json = ANSWER) -> Listing:
    found = read(answer)
    assert found is not None
    return found


def taken(answer: Json = ANSWER) -> dict[str, Json]:
    return snapshot(
        listing(answer),
        chains=["lan_a", "lan_count"],
        counters=["lan_a_ipv4", "lan_b_ipv4"],
        pointer="lan_count",
        targets=["lan_a", "lan_b"],
    )


def edited(number: int, **changes: Json) -> Json:
    """The answer with other fields in one of its objects."""
    answer = copy.deepcopy(cast("dict[str, list[dict[str, dict[str, Json]]]]", ANSWER))
    for thing in answer["nftables"][number].values():
        thing.update(changes)
    return cast("Json", answer)


def without(number: int) -> Json:
    answer = copy.deepcopy(cast("dict[str, list[Json]]", ANSWER))
    del answer["nftables"][number]
    return cast("Json", answer)


def test_a_listing_is_read() -> None:
    found = listing()
    assert found.version == "1.0.6"
    assert found.counters == {"lan_a_ipv4": Count(7, 700), "lan_b_ipv4": Count(1, 60)}
    assert found.handles == {"lan_a_ipv4": 1, "lan_b_ipv4": 2}
    assert found.log_groups() == {30000, 30002}
    assert found.targets("lan_count") == ["lan_a"]
    assert found.others == ("mine",)


def test_no_table_is_no_listing() -> None:
    assert read(None) is None


def test_counting_and_switching_are_no_difference() -> None:
    assert difference(taken(), taken(edited(2, packets=99, bytes=9900))) is None
    assert difference(taken(), taken(edited(9, expr=[{"goto": {"target": "lan_b"}}]))) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (edited(1, handle=4), "table is changed"),
        (edited(1, flags="dormant"), "table is changed"),
        (edited(2, handle=77), "counter lan_a_ipv4 is changed"),
        (without(2), "counter lan_a_ipv4 is gone"),
        (edited(5, handle=44), "chain lan_a is changed"),
        (edited(8, expr=[{"log": {"group": 1}}]), "rule 10 of chain lan_a is changed"),
        (edited(8, handle=20), "rule 10 of chain lan_a is gone, rule 20 of chain lan_a is new"),
        (edited(9, expr=[{"goto": {"target": "dmz_a"}}]), "rule 11 of chain lan_count is changed"),
        (without(9), "rule 11 of chain lan_count is gone"),
        (edited(10, expr=[{"jump": {"target": "lan_a"}}]), "rule 12 of chain dmz_a is new"),
    ],
)
def test_every_other_change_is_told(answer: Json, words: str) -> None:
    assert difference(taken(), taken(answer)) == words


def test_chains_of_other_meters_do_not_matter() -> None:
    assert difference(taken(), taken(without(10))) is None


def test_another_version_of_nft_may_write_the_same_rule_in_another_way() -> None:
    newer = copy.deepcopy(cast("dict[str, list[dict[str, dict[str, Json]]]]", edited(8, expr=["other words"])))
    newer["nftables"][0]["metainfo"]["version"] = "1.1.0"
    assert difference(taken(), taken(cast("Json", newer))) is None
    del newer["nftables"][9]
    assert difference(taken(), taken(cast("Json", newer))) == "rule 11 of chain lan_count is gone"


def test_nothing_to_compare_with_is_no_silence() -> None:
    assert difference({}, taken()) == "what was expected is not known"
