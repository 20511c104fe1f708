"""The old program's lines about groups and packets."""

from dataclasses import dataclass

import pytest

from netledger.compat.go_nflog_acctd.messages import (
    Batches,
    binding_lines,
    closing_lines,
    event_line,
    is_verbose,
    monitoring_line,
)
from netledger.compat.go_nflog_acctd.options import parse_options
from tests.unit.compat.go_nflog_acctd.test_render import packed

ALL = ("-ip4-dst-group=4", "-ip4-src-group=5", "-ip6-dst-group=6", "-ip6-src-group=7", "-ip4-prefix-length=40")


@dataclass(frozen=True)
class Noted:
    kind: str
    numbers: tuple[int, int, int]
    group: int = 4
    address: bytes | None = None
    is_source: bool = False  # by position in the list below


def test_each_group_is_announced_with_its_prefix_as_given() -> None:
    groups = parse_options(ALL).groups
    assert [monitoring_line(group) for group in groups] == [
        "Monitoring NFLog multicast group 4 for IPv4 Dest mask /40",
        "Monitoring NFLog multicast group 5 for IPv4 Source mask /40",
        "Monitoring NFLog multicast group 6 for IPv6 Dest mask /64",
        "Monitoring NFLog multicast group 7 for IPv6 Source mask /64",
    ]
    assert binding_lines(groups[2]) == (
        "Binding nfnetlink_log to AF_INET",
        "Binding this socket to group 6",
        "Setting copy_packet mode to 40 bytes",
    )
    assert list(closing_lines(groups[:2])) == ["Closing nflog socket 3 group 4", "Closing nflog socket 4 group 5"]


@pytest.mark.parametrize(
    ("noted", "line", "verbose"),
    [
        (Noted("batch", (10, 0, 0)), "4: Processing 10 packets", True),
        (Noted("packet", (128, 0, 0), address=packed("10.9.0.2")), "IP message Dest Addr 10.9.0.2 Size 128", True),
        (
            Noted("packet", (348, 0, 0), 7, packed("fd09::"), is_source=True),
            "IP message Source Addr fd09:: Size 348",
            True,
        ),
        (Noted("short", (10, 20, 4)), "Short IPv4 packet 10/20 bytes", False),
        (Noted("short", (8, 40, 6)), "Short IPv6 packet 8/40 bytes", False),
        (Noted("short", (20, 20, 4)), "Bad IP version: 6", False),
        (Noted("version", (6, 0, 0)), "Bad IP version: 6", False),
        (Noted("missing", (49671, 90000, 40329)), "49671 missing packets detected, 90000 to 40329", False),
        (Noted("overrun", (0, 0, 0)), "Recv failed: no buffer space available", False),
    ],
)
def test_an_event_has_its_old_line(noted: Noted, line: str, verbose: bool) -> None:
    assert event_line(noted, strict_bytes=False) == line
    assert is_verbose(noted) == verbose


def test_a_packet_line_follows_the_old_number_when_it_is_asked_for() -> None:
    noted = Noted("packet", (348, 0, 0), address=packed("fd09::"))
    assert event_line(noted, strict_bytes=True).endswith("Size 308")
    noted = Noted("packet", (128, 0, 0), address=packed("10.9.0.2"))
    assert event_line(noted, strict_bytes=True).endswith("Size 128")


def test_an_unknown_event_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="riddle"):
        event_line(Noted("riddle", (0, 0, 0)), strict_bytes=False)


def test_a_batch_is_told_before_its_packets_and_nothing_is_left_out() -> None:
    first, second, third = (Noted("packet", (size, 0, 0), group) for size, group in ((1, 4), (2, 5), (3, 4)))
    batch, trouble = Noted("batch", (2, 0, 0), 4), Noted("short", (1, 20, 4))
    batches = Batches()
    assert list(batches.ordered([first, second])) == []
    assert list(batches.ordered([trouble, third, batch])) == [trouble, batch, first, third]
    assert list(batches.rest()) == [second]
    assert list(batches.rest()) == []
