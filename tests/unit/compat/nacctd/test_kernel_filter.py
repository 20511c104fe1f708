"""The kernel's program lets pass exactly what the filters take, and everything that it cannot read."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nacctd.filters import filter_of
from netledger.compat.nacctd.kernel_filter import program_of
from netledger.compat.nacctd.naccttab import Network, Table
from netledger.compat.nacctd.numbers import dotted
from tests.unit.packet_machine import Frame, run
from tests.unit.packets import ethernet, frames, ipv4, ipv6

# Few numbers, so that addresses meet networks.
ADDRESSES = st.builds(
    lambda high, low: (high << 24) | low, st.sampled_from([10, 127, 192]), st.sampled_from([0, 1, 2, 0x00140001])
)
MASKS = st.sampled_from([0, 0xFF000000, 0xFFFF0000, 0xFFFFFF00, 0xFFFFFFFF, 0x000000FF])
NETWORKS = st.lists(st.builds(Network, ADDRESSES, MASKS), max_size=4).map(tuple)
TABLES = st.builds(
    Table, ignoremask=MASKS, ignorenets=NETWORKS, dontignores=NETWORKS,
    hostlimits=st.lists(ADDRESSES, max_size=3).map(tuple),
)  # fmt: skip


@given(TABLES, st.lists(st.tuples(ADDRESSES, ADDRESSES), min_size=1, max_size=10))
def test_the_program_and_the_filters_agree(table: Table, pairs: list[tuple[int, int]]) -> None:
    program, counts = program_of(table), filter_of(table)
    for source, destination in pairs:
        for frame in frames(ipv4(dotted(source), dotted(destination))):
            assert bool(run(program, frame)) == counts(source, destination, "eth0")


def test_what_the_program_cannot_read_passes() -> None:
    program = program_of(Table(hostlimits=(1,), ignoremask=0))
    tagged = ethernet(ipv4("10.0.0.1", "10.0.0.2"), tags=[(0x8100, 5)])
    assert run(program, Frame(tagged, 14, 0x8100))
    assert run(program, frames(ipv6("fd00::1", "fd00::2"))[0])
    assert not run(program, frames(ipv4("10.0.0.1", "10.0.0.2"))[0])


def test_far_jumps_reach_and_too_long_a_list_is_left_to_the_filters() -> None:
    networks = tuple(Network(0x0A000000 + number, 0xFFFFFFFF) for number in range(400))
    table = Table(ignorenets=networks, dontignores=(Network(0x7F000000, 0xFF000000),))
    program = program_of(table)
    assert len(program) > 2 * 255
    last = frames(ipv4("192.0.2.1", dotted(0x0A000000 + 399)))[0]
    assert not run(program, last)
    assert run(program, frames(ipv4("127.0.0.1", dotted(0x0A000000)))[0])
    assert run(program, frames(ipv4("192.0.2.1", "192.0.2.2"))[0])
    more = tuple(Network(0x0B000000 + number, 0xFFFFFFFF) for number in range(1000))
    assert program_of(replace(table, ignorenets=networks + more)) == ()
