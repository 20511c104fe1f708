"""The laboratory itself: it is quiet, its witness counts what was sent, and it leaves nothing behind."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.lab import NAMESPACES, Count, Lab, Pair, wait_for
from tests.kernel.senders import Udp


def forwarded(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "forward")


def test_witness_counts_udp_to_the_packet_and_byte_in_both_families(lab: Lab) -> None:
    lab.witness(lab.gw)
    plans = (
        Udp(source="10.77.1.2", destination="10.77.2.2", sources=50, count=5000),
        Udp(source="fd77:1::2", destination="fd78::1", destinations=40, ports=3, count=5000, payload_bytes=1),
    )
    sent = [senders.udp(lab, lab.left, plan) for plan in plans]
    assert [one.count for one in sent] == [Count(5000, 5000 * 100), Count(5000, 5000 * 49)]
    assert forwarded(lab) == sent[0].count + sent[1].count
    assert lab.counter(lab.gw, "witness", "total") == forwarded(lab)


def test_witness_counts_pings_and_their_answers(lab: Lab) -> None:
    lab.witness(lab.gw)
    senders.ping(lab, lab.left, "10.77.2.2", 10)
    senders.ping(lab, lab.left, "fd77:2::2", 10)
    assert forwarded(lab) == Count(40, 20 * 84 + 20 * 104)


def test_own_traffic_of_the_gateway_is_seen_at_input_and_output_but_not_loopback(lab: Lab) -> None:
    lab.witness(lab.gw)
    senders.ping(lab, lab.gw, "10.77.2.2", 4)
    senders.ping(lab, lab.gw, "10.77.1.1", 4)
    counted = lab.counters(lab.gw, "witness")
    assert (counted["input"], counted["output"]) == (Count(4, 336), Count(4, 336))


@pytest.mark.parametrize("address", ["10.77.2.2", "fd77:2::2"])
def test_tcp_arrives_whole_and_its_bytes_cover_the_payload(lab: Lab, address: str) -> None:
    lab.witness(lab.gw)
    assert senders.tcp(lab, lab.left, lab.right, address, 4 << 20) == 4 << 20
    assert forwarded(lab).bytes > 4 << 20


@pytest.mark.parametrize("address", ["10.77.2.2", "fd77:2::2"])
def test_fragments_pass_the_gateway_piece_by_piece(lab: Lab, address: str) -> None:
    lab.witness(lab.gw)
    expected = senders.fragments(lab, lab.left, address, 4000, count=7)
    assert expected.packets == 21
    assert forwarded(lab) == expected


def test_ipv6_extension_headers_are_part_of_the_length(lab: Lab) -> None:
    lab.witness(lab.gw)
    expected = senders.extended(lab, lab.left, "fd77:2::2", 100, count=5)
    assert forwarded(lab) == expected


def test_a_sender_that_goes_on_says_at_its_end_what_it_sent(lab: Lab) -> None:
    lab.witness(lab.gw)
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=0, rate=50_000)
    sender = senders.start_udp(lab, lab.left, plan)
    wait_for(lambda: forwarded(lab).packets > 1000, 10, "traffic through the gateway")
    sent = senders.stop_udp(sender)
    assert sent.refused == 0
    assert forwarded(lab) == sent.count


def test_silence_stops_the_witness_and_ends_again(lab: Lab) -> None:
    lab.witness(lab.gw)
    lab.silence(lab.gw)
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=100))
    assert forwarded(lab) == Count(0, 0)
    lab.speak(lab.gw)
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=100))
    assert forwarded(lab) == Count(100, 10_000)


def test_a_pair_talks_both_ways(pair: Pair) -> None:
    pair.witness(pair.a)
    senders.ping(pair, pair.b, "fd77:1::1", 3)
    counted = pair.counters(pair.a, "witness")
    assert (counted["input"], counted["output"]) == (Count(3, 312), Count(3, 312))


def test_a_failing_test_leaves_no_namespace_no_process_and_no_directory() -> None:
    class ExpectedError(Exception):
        pass

    def fail_inside() -> None:
        with Lab() as lab:
            left.extend((lab.left, lab.gw, lab.right))
            directories.append(lab.directory)
            pids.append(lab.spawn(lab.gw, ["tail", "-f", "/dev/null"]).pid)
            raise ExpectedError

    left: list[str] = []
    directories: list[Path] = []
    pids: list[int] = []
    with pytest.raises(ExpectedError):
        fail_inside()
    assert not any((NAMESPACES / name).exists() for name in left)
    assert not directories[0].exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_failed_command_tells_its_words(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match="No such file"):
        pair.run(pair.a, ["ls", "/nowhere"])


def test_inside_changes_the_namespace_of_this_thread_only_for_a_while(pair: Pair) -> None:
    def links() -> str:
        return subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True).stdout

    before = links()
    with pair.inside(pair.a):
        assert "wire" in links()
    assert links() == before
