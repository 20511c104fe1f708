"""The rows of a meter while packets come: never more than the kernel has counted, and all of it when nothing comes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from netledger.receipt import Count
from netledger.sources.base import LiveRows
from netledger.sources.nflog_groups import GivenGroup, GivenGroupsConfig, GivenGroupsSource
from tests.kernel import senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.metering import CLOCK, Bench
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=200, count=0, rate=40_000)
BURST = replace(LOAD, count=3000)


def by_host(rows: LiveRows) -> dict[bytes | None, Count]:
    """What each host has sent and received together."""
    table: Any = pa.record_batch(rows.batch).to_pydict()
    columns = zip(
        table["host"],
        table["sent_packets"],
        table["sent_bytes"],
        table["received_packets"],
        table["received_bytes"],
        strict=True,
    )
    return {host: Count(sent + received, sent_b + received_b) for host, sent, sent_b, received, received_b in columns}


@pytest.mark.kernel
def test_snapshots_under_load_only_grow_and_never_exceed_the_kernels_count(lab: Lab) -> None:
    bench = Bench.on(lab)
    with lab.inside(lab.gw):
        bench.open()
        sender = senders.start_udp(lab, lab.left, LOAD)
        wait_for(lambda: bench.witnessed().packets > 5000, 10, "traffic")
        assert bench.source is not None
        before: dict[bytes | None, Count] = {}
        for _ in range(20):
            rows = bench.source.live()
            at_most = bench.witnessed()
            assert at_most.covers(rows.sent)
            assert at_most.covers(rows.received)
            now = by_host(rows)
            assert all(now[host].covers(count) for host, count in before.items())
            before = now
            goal = at_most.packets + 500
            wait_for(lambda goal=goal: bench.witnessed().packets > goal, 10, "traffic")  # type: ignore[misc]  # a default binds it
        senders.stop_udp(sender)
        wait_for(lambda: bench.source.live().sent == bench.witnessed(), 10, "the last packets")  # type: ignore[union-attr]  # checked above
        rows, total = bench.source.live(), bench.witnessed()
        assert rows.received == total
        assert bench.source.glance().received == total
        assert bench.source.glance().rows >= rows.rows == len(pa.record_batch(rows.batch)) == 201
        top = by_host(bench.source.live(top=1))
        # The one that everybody sends to.
        assert list(top) == [bytes(10) + b"\xff\xff" + bytes([10, 77, 2, 2])]
        (interval,) = bench.close()
        assert interval.observed.accounted == total


@pytest.mark.kernel
def test_a_cut_begins_the_rows_anew_and_the_sums_go_on(lab: Lab) -> None:
    bench = Bench.on(lab)
    with lab.inside(lab.gw):
        bench.open()
        assert bench.source is not None
        source = bench.source
        senders.udp(lab, lab.left, BURST)
        wait_for(lambda: source.live().sent == bench.witnessed(), 10, "the packets")
        first = bench.cut()
        assert source.live().rows == 0
        assert source.glance().received == first.observed.accounted
        senders.udp(lab, lab.left, BURST)
        wait_for(lambda: source.glance().received == bench.witnessed(), 10, "the packets")
        assert source.live().sent + first.observed.accounted == bench.witnessed()
        bench.close()


@pytest.mark.kernel
def test_sums_never_go_back_while_intervals_are_cut(lab: Lab) -> None:
    bench = Bench.on(lab)
    ended = threading.Event()
    received: list[Count] = []

    def look() -> None:
        assert bench.source is not None
        while not ended.is_set():
            received.append(bench.source.glance().received)
            closed = bench.sum("accounted")
            # One open interval, or during a cut two of them: never more than what is not closed yet.
            live = bench.source.live(top=1).sent
            assert bench.witnessed().covers(closed + live)

    with lab.inside(lab.gw):
        bench.open()
        sender = senders.start_udp(lab, lab.left, LOAD)
        with ThreadPoolExecutor() as pool:
            looking = pool.submit(look)
            for _ in range(15):
                bench.cut()
            ended.set()
            looking.result()
        senders.stop_udp(sender)
        bench.close()
    assert len(received) > 5
    assert all(later.covers(earlier) for earlier, later in pairwise(received))
    assert bench.sum("accounted").covers(received[-1])
    assert bench.statuses() == ["exact"] * 16


@pytest.mark.kernel
def test_given_groups_are_seen_live_too(lab: Lab) -> None:
    lab.nft(lab.gw, "table inet mine { chain f { type filter hook forward priority 0; log group 7 snaplen 64; }\n}")
    config = GivenGroupsConfig(
        meter="lan",
        node="gw1",
        runtime=lab.directory / "run" / "lan",
        store=lab.directory / "store" / "meters",
        groups=(GivenGroup(number=7, account="both"),),
    )
    with lab.inside(lab.gw):
        source = GivenGroupsSource(config)
        source.open(CLOCK.now())
        senders.udp(lab, lab.left, BURST)
        wait_for(lambda: source.live().sent == Count(3000, 300_000), 10, "the packets")
        now = CLOCK.now()
        first = source.cut(label_end_ns=now.wall_ns, now=now)
        assert first.observed.accounted == Count(3000, 300_000)
        assert source.live().rows == 0
        senders.udp(lab, lab.left, replace(BURST, count=70))
        wait_for(lambda: source.live().sent == Count(70, 7000), 10, "the packets")
        assert source.glance().received == Count(3070, 307_000)
        for one in (first, *source.close(now=CLOCK.now(), keep_rules=False)):
            one.release()
