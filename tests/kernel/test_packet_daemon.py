"""``netledger run`` with a meter of packets: status and live rows, warnings, reload, kill, stop, report and audit."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from netledger.live.client import Client
from tests.kernel import links, senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.lesser import lacking
from tests.kernel.senders import Udp
from tests.unit import packets

NETLEDGER = str(Path(sys.executable).with_name("netledger"))
LEFT = 'source = "packet"\ninterfaces = ["left"]\nlocal = ["10.77.1.0/24", "fd77:1::/64"]\nkey = ["host", "peer"]\n'
EVERYWHERE = 'source = "packet"\nkey = ["host", "interface"]\npacket = {ring_bytes = 8388608, filter = "udp"}\n'
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500, sources=10)
LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=10_000)
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13


def forwarded(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "forward")


def asked(lab: Lab, gateway: Gateway, *words: str) -> dict[str, object]:
    """What a command says; that a part of the period is not covered, or not proven, is no failure here."""
    line = f"{NETLEDGER} {' '.join(words)} --json --config {gateway.file} || test $? = 3"
    found: dict[str, object] = json.loads(lab.run(lab.gw, ["sh", "-c", line]))
    return found


def wait_for_events(gateway: Gateway, event: str, number: int) -> None:
    """Until it has been said so often, in all."""
    wait_for(lambda: gateway.log().count(event) >= number, 20, f"{number} times {event}; {gateway.log()}")


def test_a_day_of_packets_from_the_start_to_the_audit(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"line": LEFT})
    gateway.start_counting("line")
    senders.udp(lab, lab.left, BURST)
    client = Client(gateway.runtime)
    table = wait_for(lambda: table if (table := client.table(top=3)).head.sent_packets == 500 else None, 10, "rows")
    assert table is not None
    assert (table.head.rows, table.head.rows_shown) == (11, 3)
    (meter,) = client.status().meters
    assert (meter.source, meter.received_packets, meter.lost_packets, meter.overruns) == ("packet", 500, 0, 0)
    assert client.status().problems == ()
    senders.tcp(lab, lab.left, lab.right, "10.77.2.2", 200_000)
    assert gateway.stop() == 0
    books = gateway.books("line")
    assert books.problems() == []
    assert books.statuses == {"unproven": 1}
    assert books.sent == books.received == books.accounted == forwarded(lab)
    receipt = books.intervals[0].receipt
    assert (receipt["source"], receipt["meaning"]) == (
        "packet",
        "packets as each interface has them, super-packets merged",
    )
    assert isinstance(receipt["wire_packets"], int)
    assert receipt["wire_packets"] >= books.accounted.packets
    report = asked(lab, gateway, "report", "--by", "account")
    rows = report["rows"]
    assert isinstance(rows, list)
    assert sum(row["sent_bytes"] for row in rows) == forwarded(lab).bytes
    balance = asked(lab, gateway, "audit", "--verify")["balance"]
    assert isinstance(balance, dict)
    assert (balance["unproven"], balance["intervals"], balance["lost_packets"]) == (1, 1, 0)
    assert "counts_twice" not in gateway.log()


def test_what_is_counted_twice_is_warned_of(lab: Lab) -> None:
    lab.run(lab.gw, ["ip", "link", "add", "br0", "type", "bridge"])
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"line": EVERYWHERE})
    gateway.start_counting("line")
    gateway.wait_for_log("event=forwarded_counts_twice")
    lab.run(lab.gw, ["ip", "link", "set", "right", "master", "br0"])
    gateway.wait_for_log('event=counted_at_both interfaces="right and br0"')
    assert gateway.stop() == 0


def test_an_interface_that_is_not_there_is_told_and_counted_when_it_comes(lab: Lab) -> None:
    late = LEFT.replace('"left"', '"late"')
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"line": late})
    gateway.start_counting("line")
    gateway.wait_for_log("event=interface_not_there interface=late")
    lab.run(lab.gw, ["ip", "link", "set", "left", "down"])
    lab.run(lab.gw, ["ip", "link", "set", "left", "name", "late"])
    lab.run(lab.gw, ["ip", "link", "set", "late", "up"])
    client = Client(gateway.runtime)
    mac = "02:77:00:00:01:02"
    lab.run(lab.gw, ["ip", "neighbour", "replace", "10.77.1.2", "lladdr", mac, "dev", "late", "nud", "permanent"])

    def received() -> int:
        return client.status().meters[0].received_packets or 0

    def is_followed() -> bool:
        senders.udp(lab, lab.left, replace(BURST, count=1))
        return received() > 0

    # The new name of an interface that was known by another one is heard of some milliseconds later.
    wait_for(is_followed, 20, "the new name")
    before = received()
    senders.udp(lab, lab.left, BURST)
    wait_for(lambda: received() >= before + 500, 10, "packets")
    assert gateway.stop() == 0


def test_a_killed_daemon_loses_what_came_meanwhile_and_says_so(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"line": LEFT})
    gateway.start_counting("line")
    load = senders.start_udp(lab, lab.left, LOAD)
    for _ in range(3):
        number = len(gateway.books("line").intervals)
        gateway.wait_for_intervals(number + 2, meter="line")
        gateway.child.kill()
        gateway.start_counting("line")
    gateway.wait_for_intervals(len(gateway.books("line").intervals) + 2, meter="line")
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    books = gateway.books("line")
    assert books.problems() == []
    assert books.statuses["interrupted"] == 3
    assert set(books.statuses) == {"interrupted", "unproven"}
    told = [one.reason for one in books.intervals if one.status == "interrupted"]
    assert all("nobody counted: the process had ended" in reason for reason in told)
    assert sent.packets // 20 < books.accounted.packets < sent.packets
    assert books.sent == books.received == books.accounted


def test_a_reload_under_load_changes_one_meter_and_disturbs_no_other(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"line": LEFT, "same": LEFT})
    gateway.start_counting("same")
    load = senders.start_udp(lab, lab.left, LOAD)
    changed = [
        {"line": LEFT + 'packet = {threads = 2, filter = "not port 22"}\n', "same": LEFT},
        {"line": LEFT.replace('"peer"', '"protocol"'), "same": LEFT},
        {"same": LEFT},
    ]
    for number, meters in enumerate(changed, 1):
        gateway.wait_for_intervals(len(gateway.books("same").intervals) + 1, meter="same")
        gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters=meters))
        gateway.child.signal(signal.SIGHUP)
        wait_for_events(gateway, "event=closed", number)
        wait_for_events(gateway, "meter=line event=counting", min(number + 1, len(changed)))
    bad = configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters={"same": LEFT})
    gateway.write(bad + 'packet = {filter = "udp prt 5"}\n')
    gateway.child.signal(signal.SIGHUP)
    gateway.wait_for_log("event=reload_refused")
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    for name, closed in (("line", 2), ("same", 0)):
        books = gateway.books(name)
        # Between its close and its next open no interval covers the time, and reports say so.
        assert len([words for words in books.problems() if " starts " in words]) == len(books.problems()) == closed
        assert set(books.statuses) == {"unproven"}
        assert books.lost == Count(0, 0)
    assert gateway.books("same").accounted == sent


def test_a_storm_of_reloads_and_of_lines_ends_with_whole_books(lab: Lab) -> None:
    """Lines come and go all the time, and each reload changes the meter."""
    lines = LEFT.replace('["left"]', '["left", "ppp*"]').replace('"peer"', '"interface"')
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"line": lines, "same": lines})
    gateway.start_counting("same")
    load = senders.start_udp(lab, lab.left, LOAD)
    packet = packets.ipv4("10.77.1.9", "10.77.2.9", bytes(80))
    for number in range(20):
        other = lines.replace('"interface"', ("peer", "protocol", "interface")[number % 3].join('""'))
        meters = {"line": other, "same": lines}
        # At once: a reload from before may just be reading the file.
        fresh = gateway.file.with_suffix(".new")
        fresh.write_text(configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters=meters))
        fresh.rename(gateway.file)
        for _ in range(3):
            gateway.child.signal(signal.SIGHUP)
        with links.tun(lab, lab.gw, f"ppp{number % 4}") as line:
            for _ in range(5):
                os.write(line, packet)
        wait_for_events(gateway, "event=reloaded", number + 1)
    wait_for(lambda: Client(gateway.runtime).status().problems == (), 10, "no problem")
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    assert "level=error" not in gateway.log()
    for name in ("line", "same"):
        books = gateway.books(name)
        assert [words for words in books.problems() if " starts " not in words] == []
        assert set(books.statuses) == {"unproven"}
        assert books.sent == books.received == books.accounted
    assert gateway.books("same").problems() == []
    assert gateway.books("same").accounted.packets == sent.packets + 100


def test_a_ring_that_was_too_small_is_a_problem_with_its_remedy(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"line": LEFT + "packet = {ring_bytes = 1048576}\n"})
    gateway.start_counting("line")
    client = Client(gateway.runtime)
    gateway.child.signal(signal.SIGSTOP)
    sent = senders.udp(lab, lab.left, replace(BURST, count=60_000, rate=60_000)).count.packets
    gateway.child.signal(signal.SIGCONT)

    def is_read() -> bool:
        (meter,) = client.status().meters
        received, lost = meter.received_packets or 0, meter.lost_packets or 0
        return lost > 0 and received + lost == sent

    wait_for(is_read, 10, "all that came, or was lost")
    (problem,) = client.status().problems
    (meter,) = client.status().meters
    assert meter.received_packets is not None
    assert meter.lost_packets is not None
    assert meter.received_packets + meter.lost_packets == sent
    assert problem.what == "packets_lost"
    assert problem.why == f"{meter.lost_packets:,} packets in this interval and the one before it"
    assert problem.hint == "raise meters.line.packet.ring_bytes, which is 1048576"
    assert gateway.stop() == 0
    books = gateway.books("line")
    assert books.lost.packets + books.accounted.packets == sent
    audit = asked(lab, gateway, "audit", "--verify")["balance"]
    assert isinstance(audit, dict)
    assert audit["lost_packets"] == books.lost.packets


def capabilities(gateway: Gateway) -> set[int]:
    lines = gateway.child.status_of_threads().splitlines()
    return {int(line.partition(":")[2], 16) for line in lines if line.startswith("CapEff:")}


def test_the_right_to_read_packets_is_kept_where_it_is_used(lab: Lab) -> None:
    rules = 'source = "nflog"\n'
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"rules": rules})
    gateway.start_counting("rules")
    assert capabilities(gateway) == {NET_ADMIN}
    both = configuration(
        store=gateway.store, runtime=gateway.runtime, interval="1d", meters={"rules": rules, "line": LEFT}
    )
    gateway.write(both)
    gateway.child.signal(signal.SIGHUP)
    gateway.wait_for_log(f"{lacking('CAP_NET_RAW')}; after a reload: restart")
    wait_for(lambda: Client(gateway.runtime).status().problems, 10, "a problem")
    (problem,) = Client(gateway.runtime).status().problems
    assert (problem.meter, problem.what) == ("line", "not_counting")
    senders.udp(lab, lab.left, BURST)
    assert gateway.stop() == 0
    assert gateway.books("rules").accounted.packets == 500
    gateway.start_counting("line")
    assert capabilities(gateway) == {NET_ADMIN | NET_RAW}
    senders.udp(lab, lab.left, BURST)
    assert gateway.stop() == 0
    assert gateway.books("line").accounted.packets == 500
