"""Rows of the bpf meter without a daemon: more keys than there is room for, from both CPUs; the totals stay exact."""

from collections.abc import Iterator

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import own_bpffs
from tests.kernel.bpf_counting import WIRE, counting, index_of
from tests.kernel.bpf_duel import Duel, Flood
from tests.kernel.bpf_proof import FULL, HOST, Seen
from tests.kernel.lab import Count, wait_for
from tests.kernel.senders import Udp

MANY = Udp(source="10.78.1.0", destination="10.77.1.1", sources=3000, ports=7, count=30_000)


@pytest.fixture
def duel() -> Iterator[Duel]:
    with own_bpffs(), Duel() as made, made.inside(made.near):
        yield made


def sent_by(closed: Seen) -> Count:
    """What is in rows of their own on the sent side."""
    lines = [dict(line) for line in closed.lines]
    hosts = [line for line in lines if line["account"] == "host"]
    return Count(*(sum(int(str(line[f"sent_{what}"])) for line in hosts) for what in ("packets", "bytes")))


@pytest.mark.parametrize("kind", ["netfilter", "tcx"])
@pytest.mark.parametrize(("columns", "rows_max"), [(HOST, 1), (HOST, 100), (FULL, 5000), (FULL, 100_000)])
def test_what_finds_no_room_is_other_and_nothing_is_missing(
    duel: Duel, kind: str, columns: tuple[str, ...], rows_max: int
) -> None:
    one = counting(duel, kind, columns=columns, rows_max=rows_max).begin()
    if kind == "tcx":
        one.meter.attach_interface(index_of(duel), WIRE)
    else:
        one.meter.attach()
    senders.udp(duel, duel.far, MANY)
    # A busy machine may drop some before they are received.
    witness = duel.settled()
    assert witness.packets > MANY.count // 2
    closed = one.stop()
    assert (closed.total, closed.problems("closed")) == (witness, [])
    is_full = rows_max < (3001 if columns == HOST else 2 * 21_000)
    assert (closed.other > 0) == is_full
    if is_full:
        assert closed.rows >= rows_max
    else:
        assert sent_by(closed) == witness
    one.meter.remove()


def test_keys_that_overflow_from_both_cpus_at_once_are_counted_once(duel: Duel) -> None:
    """The last places are fought for: who loses must neither be lost nor be there twice."""
    one = counting(duel, "netfilter", columns=FULL, rows_max=2000).begin()
    one.meter.attach()
    closed: list[Seen] = []
    with Flood(duel) as flood:
        for _ in range(8):
            wait_for(lambda: one.meter.glance().totals.other_packets > 500, 20, "more keys than rows")
            closed.append(one.cut())
        flood.stop()
        witness = duel.settled()
    closed.append(one.stop())
    assert [problem for number, each in enumerate(closed) for problem in each.problems(str(number))] == []
    assert sum((each.total for each in closed), start=Count(0, 0)) == witness
    # Room for 2000; the rows external, other and the like come to that.
    assert {each.rows for each in closed[:-1]} <= set(range(2000, 2004))
    one.meter.remove()
