"""Rows that do not add up to their receipt, by a program that is wrong on purpose, are nobody's; nothing is hidden."""

from collections.abc import Iterator

import pytest

from netledger.receipt import ZERO
from tests.kernel.bpf_box import own_bpffs
from tests.kernel.bpf_duel import Duel, Flood
from tests.kernel.bpf_metering import BpfBench
from tests.kernel.bpf_mutants import mutant
from tests.kernel.metering import leftovers

CUTS_MAX = 100


@pytest.fixture
def duel() -> Iterator[Duel]:
    with own_bpffs(), Duel() as made, made.inside(made.near):
        yield made


@pytest.mark.peers("clang")
def test_rows_that_do_not_add_up_are_not_booked_and_the_meter_goes_on(duel: Duel) -> None:
    bench = BpfBench.on(duel, duel.near, program=mutant("MUTATE_PLAIN_ADDS"))
    bench.open()
    with Flood(duel):
        for _ in range(CUTS_MAX):
            bench.wait_for_packets(bench.opened().stats().received_packets + 50_000)
            interval = bench.cut()
            if interval.observed.status == "interrupted":
                break
        else:
            raise AssertionError(f"all of {CUTS_MAX} generations add up")
    bench.close()
    seen = interval.observed
    assert "rows and receipt do not add up" in (seen.interrupted or "")
    assert (seen.rows, seen.accounted) == (0, ZERO)
    assert seen.kernel is not None
    assert seen.kernel == seen.unattributed
    assert seen.kernel.packets > 0
    assert leftovers(bench.config.runtime) == bench.pinned() == []
