"""What a quota may be, how its limit is read, and which rules are printed for it."""

from dataclasses import replace

import pytest

from netledger.errors import UsageError
from netledger.quotas.definition import LIMIT_MAX, Definition, Every, Kind, Unit, Verdict, from_told, parse_limit
from netledger.quotas.rules import rules
from netledger.receipt import parse_rfc3339, rfc3339

GUEST = Definition(name="guest", limit=1000, unit=Unit.BYTES)


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [
        ("10GB", 10_000_000_000, Unit.BYTES),
        ("500MiB", 500 << 20, Unit.BYTES),
        ("1.5MB", 1_500_000, Unit.BYTES),
        ("0.0001kB", 0, None),
        ("1500B", 1500, Unit.BYTES),
        ("7 B", 7, Unit.BYTES),
        ("1EiB", 1 << 60, Unit.BYTES),
        ("1M packets", 1_000_000, Unit.PACKETS),
        ("1 packet", 1, Unit.PACKETS),
        ("20000packets", 20_000, Unit.PACKETS),
        (f"{LIMIT_MAX}B", LIMIT_MAX, Unit.BYTES),
        (f"{LIMIT_MAX + 1}B", 0, None),
        ("10", 0, None),
        ("10GBytes", 0, None),
        ("-1GB", 0, None),
        ("1e3B", 0, None),
        ("5iB", 0, None),
        ("0B", 0, None),
        ("", 0, None),
        ("1 Mi packets", 0, None),
        ("\u0661GB", 0, None),
    ],
)
def test_a_limit_has_its_unit(text: str, limit: int, unit: Unit | None) -> None:
    if unit is None:
        with pytest.raises(UsageError):
            parse_limit(text)
    else:
        assert parse_limit(text) == (limit, unit)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": "9guest"}, "no name"),
        ({"name": "g" * 32}, "no name"),
        ({"name": "guest;drop"}, "no name"),
        ({"name": "guest\n"}, "no name"),
        ({"limit": 0}, "out of range"),
        ({"kind": Kind.NFT, "unit": Unit.PACKETS}, "counts bytes"),
        ({"billing_day": 15}, "only with --every month"),
        ({"every": Every.MONTH, "billing_day": 32}, "not a day"),
        ({"every": Every.DAY, "timezone": "Mars/Olympus"}, "no such time zone"),
        ({"command": ("ls",)}, "no absolute path"),
        ({"command": ("/bin/ls", "a\0b")}, "NUL"),
        ({"command": ("/bin/ls", "\udcff")}, "UTF-8"),
        ({"command": ("/bin/ls", *("x" for _ in range(64)))}, "too long"),
        ({"command_seconds": 0}, "out of range"),
        ({"addresses": ("192.0.2.7/24",)}, "no address"),
        ({"addresses": ("192.0.2.7; rm",)}, "no address"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        replace(GUEST, **wrong)  # type: ignore[arg-type]  # fields of different types


def test_a_quota_is_read_back_as_it_was_written() -> None:
    one = Definition(
        name="g-1.x_Y",
        limit=5,
        unit=Unit.PACKETS,
        every=Every.MONTH,
        billing_day=31,
        timezone="Europe/Berlin",
        command=("/bin/echo", "a b", "größe"),
        is_run_at_reset=True,
        command_seconds=7,
        verdict=Verdict.REJECT,
        addresses=("192.0.2.7", "2001:db8::/64"),
        family="ip",
        table="filter",
    )
    assert from_told(one.name, one.told()) == one


@pytest.mark.parametrize(
    ("every", "day", "start", "end"),
    [
        (Every.DAY, 1, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),  # the day on which the clock is set back
        (Every.WEEK, 1, "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"),
        (Every.MONTH, 15, "2026-10-14T22:00:00Z", "2026-11-14T23:00:00Z"),
        (Every.MONTH, 31, "2026-09-29T22:00:00Z", "2026-10-30T23:00:00Z"),
    ],
)
def test_a_period_goes_by_the_clock_of_its_zone(every: Every, day: int, start: str, end: str) -> None:
    one = replace(GUEST, every=every, billing_day=day, timezone="Europe/Berlin")
    period = one.period(parse_rfc3339("2026-10-25T12:00:00Z"))
    assert period is not None
    assert (rfc3339(period.start_ns), rfc3339(period.end_ns)) == (start, end)
    # What follows begins where this one ends.
    following = one.period(period.end_ns)
    assert following is not None
    assert following.start_ns == period.end_ns


def test_the_rules_for_iptables_count_a_packet_once() -> None:
    one = replace(GUEST, addresses=("192.0.2.7", "2001:db8::/64"), verdict=Verdict.DROP)
    assert [line for line in rules(one) if not line.startswith("#")] == [
        "set -e",
        "iptables -w -N guest-c",
        "iptables -w -A guest-c -m nfacct --nfacct-name guest -j DROP",
        "iptables -w -N guest-q",
        "iptables -w -A guest-q -s 192.0.2.7 -g guest-c",
        "iptables -w -A guest-q -d 192.0.2.7 -g guest-c",
        "iptables -w -I FORWARD -j guest-q",
        "ip6tables -w -N guest-c",
        "ip6tables -w -A guest-c -m nfacct --nfacct-name guest -j DROP",
        "ip6tables -w -N guest-q",
        "ip6tables -w -A guest-q -s 2001:db8::/64 -g guest-c",
        "ip6tables -w -A guest-q -d 2001:db8::/64 -g guest-c",
        "ip6tables -w -I FORWARD -j guest-q",
    ]


def test_rules_without_addresses_are_for_both_versions_and_long_names_stay_apart() -> None:
    lines = [line for line in rules(replace(GUEST, name="g" * 31)) if "tables -w " in line]
    chains = {line.split("-N ")[1] for line in lines if " -N " in line}
    assert {line.split()[0] for line in lines} == {"iptables", "ip6tables"}
    assert all(len(chain) <= 28 for chain in chains)
    assert len(chains) == 2
