"""From the totals of packet sockets to what is said of a generation, and to what the program is to keep for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from netledger._core import Totals
from netledger.errors import SourceError
from netledger.receipt import Count, Status
from netledger.sources.lost import NoRows
from netledger.sources.packet import PacketConfig
from netledger.sources.packet_filter import PacketChoice
from netledger.sources.packet_program import JEQ, RETURN
from netledger.sources.packet_said import observe


@dataclass
class Numbers:
    """Totals with chosen numbers; the native class has none of its own making."""

    other_packets: int = 2
    other_bytes: int = 80
    dropped_packets: int = 0
    super_packets: int = 3
    wire_packets: int = 40
    overruns: int = 0
    ignored_packets: int = 0
    fragments_unknown: int = 0
    length_lies: int = 0
    length_unknown_packets: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


def said(numbers: Numbers, interrupted: str | None = None) -> tuple[Status, Count, str | None, dict[str, int]]:
    seen = observe(
        cast("Totals", numbers), NoRows("nothing"), Count(10, 1000), ring_bytes=1 << 20, interrupted=interrupted
    )
    assert (seen.accounted, seen.other, seen.source) == (Count(10, 1000), Count(2, 80), "packet")
    assert (seen.super_packets, seen.wire_packets) == (3, 40)
    return seen.status, seen.lost, seen.why_lost, dict(seen.errors)


def test_without_loss_it_is_unproven_and_nothing_is_wrong() -> None:
    assert said(Numbers()) == (Status.UNPROVEN, Count(0, 0), None, {})


def test_each_loss_and_each_oddity_has_its_number() -> None:
    numbers = Numbers(
        dropped_packets=7,
        overruns=1,
        ignored_packets=2,
        fragments_unknown=3,
        length_lies=4,
        length_unknown_packets=5,
        unreadable={"short": 1, "version": 2},
    )
    assert said(numbers) == (
        Status.UNPROVEN,
        Count(10, 0),
        "7 packets dropped by the kernel: the ring of 1048576 bytes was full; 3 packets not readable",
        {
            "overruns": 1,
            "ignored_packets": 2,
            "fragments_unknown": 3,
            "length_lies": 4,
            "length_unknown_packets": 5,
            "unreadable_short": 1,
            "unreadable_version": 2,
        },
    )


def test_one_that_was_killed_is_interrupted() -> None:
    assert said(Numbers(dropped_packets=1), "nobody counted") == (
        Status.INTERRUPTED,
        Count(1, 0),
        "1 packet dropped by the kernel: the ring of 1048576 bytes was full before, "
        "or they were super-packets that it cannot describe",
        {},
    )


def config(choice: PacketChoice) -> PacketConfig:
    return PacketConfig(meter="line", node="gw1", runtime=Path("run"), store=Path("store"), choice=choice)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (PacketChoice(expression="tcp prt 80"), "meter line: choose packets: libpcap refuses it: syntax error"),
        (
            PacketChoice(networks=tuple(f"10.{high}.{low}.0/25" for high in range(9) for low in range(250))),
            "meter line: choose packets: .* instructions for the kernel are too many",
        ),
    ],
)
def test_a_choice_that_cannot_be_made_is_an_error_of_the_source(choice: PacketChoice, words: str) -> None:
    """The configuration refuses them too; but a host's name is looked up anew at each start."""
    with pytest.raises(SourceError, match=words):
        config(choice).native()


def test_a_program_of_the_caller_s_own_goes_before_the_choice() -> None:
    own = ((JEQ, 0, 0, 0), (RETURN, 0, 0, 1))
    made = PacketConfig(
        meter="line",
        node="gw1",
        runtime=Path("run"),
        store=Path("store"),
        choice=PacketChoice(expression="tcp prt 80"),
        program=own,
    )
    assert made.native() is not None
