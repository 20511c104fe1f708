"""Devices and their addresses, as a real neighbour table has them: learnt, handed over, kept, forgotten."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netledger.intervals import SystemClock
from netledger.learners import neighbours
from netledger.learners.neighbours import NeighbourLearner
from tests.kernel.lab import Pair, wait_for
from tests.unit.recorder import Kept, running

# Ends of the wire in the lab, and a device that comes later.
OTHER_END, NEW = "02:77:00:00:01:02", "02:77:00:00:01:99"
SECONDS = 20.0


@contextmanager
def followed(pair: Pair, tmp_path: Path, *, forget_after_seconds: int = 3600, only: str = "") -> Iterator[Kept]:
    """What a learner in the namespace of ``a`` keeps."""
    record = Kept(tmp_path / "store", SystemClock())
    learner = NeighbourLearner(
        "office",
        interfaces=(only,) if only else (),
        forget_after_seconds=forget_after_seconds,
        clock=SystemClock(),
    )
    with pair.inside(pair.a), running(learner, record):
        yield record


def knows(record: Kept, address: str, mac: str | None) -> None:
    wait_for(lambda: record.now().get(address) == mac, SECONDS, f"{address} of {mac}, and not {record.now()}")


def ip(pair: Pair, side: str, words: str) -> None:
    pair.run(side, ["ip", *words.split()])


def ask(pair: Pair, address: str) -> None:
    """Makes ``a`` find out who has an address; the answer may take a moment."""
    wait_for(
        lambda: (
            subprocess.run(
                ["ip", "netns", "exec", pair.a, "ping", "-c1", "-W1", address], capture_output=True, check=False
            ).returncode
            == 0
        ),
        SECONDS,
        f"answer of {address}",
    )


def test_both_addresses_of_a_device_are_its_own_and_nobodys_names_are_made_up(pair: Pair, tmp_path: Path) -> None:
    with followed(pair, tmp_path) as record:
        knows(record, "10.77.1.2", OTHER_END)
        knows(record, "fd77:1::2", OTHER_END)
        assert set(record.now()) == {"10.77.1.2", "fd77:1::2"}
        assert {(fact.subject, fact.mac) for fact in record.facts()} == {(OTHER_END, OTHER_END)}


@pytest.mark.parametrize(("address", "bits"), [("10.77.1.50", 24), ("fd77:1::50", 64)])
def test_an_address_is_the_one_devices_and_then_the_other_ones(
    pair: Pair, tmp_path: Path, address: str, bits: int
) -> None:
    ip(
        pair,
        pair.b,
        f"address add {address}/{bits} dev uplink nodad"
        if ":" in address
        else f"address add {address}/{bits} dev uplink",
    )
    ip(pair, pair.b, f"link add other link uplink address {NEW} type macvlan mode bridge")
    ip(pair, pair.b, "link set other up")
    with followed(pair, tmp_path) as record:
        ask(pair, address)
        knows(record, address, OTHER_END)
        ip(pair, pair.b, f"address del {address}/{bits} dev uplink")
        ip(pair, pair.a, f"neighbour del {address} dev wire")
        ip(pair, pair.b, f"address add {address}/{bits} dev other" + (" nodad" if ":" in address else ""))
        # Both ends of b have the network now; only the new device may answer for the address.
        pair.run(pair.b, ["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"])
        ask(pair, address)
        knows(record, address, NEW)
        spans = [(mac, end is None) for _, mac, _, end in record.held(address)]
        assert spans == [(OTHER_END, False), (NEW, True)]


def test_a_device_that_is_gone_keeps_its_address(pair: Pair, tmp_path: Path) -> None:
    with followed(pair, tmp_path) as record:
        knows(record, "10.77.1.2", OTHER_END)
        ip(pair, pair.a, "neighbour del 10.77.1.2 dev wire")
        ip(pair, pair.a, "neighbour add 10.77.1.7 lladdr 02:00:00:00:00:07 dev wire")
        knows(record, "10.77.1.7", "02:00:00:00:00:07")
        assert record.now()["10.77.1.2"] == OTHER_END


def test_an_address_of_which_nothing_is_seen_is_forgotten(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_LIST_SECONDS", 0.2)
    with followed(pair, tmp_path, forget_after_seconds=2) as record:
        knows(record, "10.77.1.2", OTHER_END)
        ip(pair, pair.a, "neighbour del 10.77.1.2 dev wire")
        knows(record, "10.77.1.2", None)
        assert record.now() == {"fd77:1::2": OTHER_END}, "what is configured stays as long as it stands there"


def test_what_changed_while_nobody_looked_is_learnt_at_the_start(pair: Pair, tmp_path: Path) -> None:
    with followed(pair, tmp_path) as record:
        knows(record, "10.77.1.2", OTHER_END)
    ip(pair, pair.a, f"neighbour replace 10.77.1.2 lladdr {NEW} dev wire nud permanent")
    with followed(pair, tmp_path) as record:
        knows(record, "10.77.1.2", NEW)
        assert len([fact for fact in record.facts() if str(fact.target) == "fd77:1::2"]) == 1, "nothing is learnt twice"


def test_only_chosen_interfaces_are_looked_at(pair: Pair, tmp_path: Path) -> None:
    ip(pair, pair.a, "link add veil type veth peer name behind")
    ip(pair, pair.a, "link set veil up")
    for number, device in ((8, "wire"), (9, "veil")):
        ip(pair, pair.a, f"neighbour add 10.77.9.{number} lladdr 02:00:00:00:00:0{number} dev {device}")
    with followed(pair, tmp_path, only="ve*") as record:
        knows(record, "10.77.9.9", "02:00:00:00:00:09")
        assert set(record.now()) == {"10.77.9.9"}


def test_more_than_a_buffer_of_news_is_learnt_all_the_same(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_BUFFER_BYTES", 4096)
    count = 5000
    pairs = [(number >> 8, number & 255) for number in range(count)]
    lines = [
        f"neighbour add 10.99.{high}.{low} lladdr 02:00:00:00:{high:02x}:{low:02x} dev wire" for high, low in pairs
    ]
    record = Kept(tmp_path / "store", SystemClock())
    learner = NeighbourLearner("office", interfaces=(), forget_after_seconds=3600, clock=SystemClock())
    with pair.inside(pair.a), running(learner, record):
        pair.run(pair.a, ["ip", "-batch", "-"], text="\n".join(lines))
        wait_for(lambda: learner.status().facts == count + 2, SECONDS, f"{count} devices")
    assert record.held("10.99.19.135")[0][1] == "02:00:00:00:13:87"
