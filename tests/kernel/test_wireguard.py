"""Peers of a real WireGuard: whose their addresses are, and that no key that is secret is seen."""

import logging
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netledger.errors import LearnerError
from netledger.intervals import SystemClock
from netledger.learners.base import Stop
from netledger.learners.wireguard import WireguardLearner
from tests.kernel.lab import Pair, wait_for
from tests.unit.recorder import Kept, running

pytestmark = [pytest.mark.kernel, pytest.mark.peers("wg", "wireguard-go")]

SECONDS = 20.0


@dataclass
class Tunnel:
    """A WireGuard interface in the namespace of ``a``: the kernel's where it has one, else the program's."""

    pair: Pair
    name: str
    directory: Path
    private_key: str = ""

    def make(self) -> None:
        added = subprocess.run(
            ["ip", "-n", self.pair.a, "link", "add", self.name, "type", "wireguard"], capture_output=True, check=False
        )
        if added.returncode:
            self.pair.spawn(self.pair.a, ["wireguard-go", "--foreground", self.name])
        wait_for(self._is_there, SECONDS, "tunnel")
        self.private_key = self.pair.run(self.pair.a, ["wg", "genkey"]).strip()
        key = self.directory / "key"
        key.write_text(self.private_key)
        self.wg("private-key", str(key))

    def _is_there(self) -> bool:
        shown = ["ip", "netns", "exec", self.pair.a, "wg", "show", self.name]
        return subprocess.run(shown, capture_output=True, check=False).returncode == 0

    def wg(self, *words: str) -> None:
        self.pair.run(self.pair.a, ["wg", "set", self.name, *words])

    def peer(self, *allowed: str) -> str:
        """A new peer; gives its public key."""
        secret = self.pair.run(self.pair.a, ["wg", "genkey"])
        key = self.pair.run(self.pair.a, ["wg", "pubkey"], text=secret).strip()
        self.wg("peer", key, "allowed-ips", ",".join(allowed))
        return key


@pytest.fixture
def tunnel(pair: Pair, tmp_path: Path) -> Iterator[Tunnel]:
    # Its socket lies in a directory that all namespaces share.
    made = Tunnel(pair, f"wg{os.getpid()}", tmp_path)
    made.make()
    yield made
    pair.run(pair.a, ["ip", "link", "del", made.name])
    wait_for(lambda: not Path("/var/run/wireguard", f"{made.name}.sock").exists(), SECONDS, "end of the tunnel")


def follower(tunnel: Tunnel, **names: str) -> WireguardLearner:
    return WireguardLearner("vpn", interfaces=(tunnel.name,), names=names, every_seconds=1, clock=SystemClock())


def test_addresses_go_with_their_peers(tunnel: Tunnel, pair: Pair, tmp_path: Path) -> None:
    record = Kept(tmp_path / "store", SystemClock())
    alice, other = tunnel.peer("10.9.0.2/32", "fd09::2/128", "192.168.7.0/24"), tunnel.peer("10.9.0.3/32", "0.0.0.0/0")
    learner = follower(tunnel, **{alice: "alice"})
    with pair.inside(pair.a), running(learner, record):
        wait_for(lambda: len(record.now()) == 4, SECONDS, "first look")
        assert record.now() == {"10.9.0.2": "alice", "fd09::2": "alice", "192.168.7.0/24": "alice", "10.9.0.3": other}
        tunnel.wg("peer", other, "allowed-ips", "10.9.0.2/32,10.9.0.3/32")
        wait_for(lambda: record.now().get("10.9.0.2") == other, SECONDS, "hand-over")
        tunnel.wg("peer", alice, "remove")
        wait_for(lambda: set(record.now()) == {"10.9.0.2", "10.9.0.3"}, SECONDS, "removal")
    assert [fact.detail.get("peer") for fact in record.facts() if fact.subject == "alice"] == [alice] * 3


def test_a_peer_that_went_while_nobody_looked_has_nothing_any_more(tunnel: Tunnel, pair: Pair, tmp_path: Path) -> None:
    record = Kept(tmp_path / "store", SystemClock())
    gone, stays = tunnel.peer("10.9.0.2/32"), tunnel.peer("10.9.0.3/32")
    for is_second in (False, True):
        if is_second:
            tunnel.wg("peer", gone, "remove")
        with pair.inside(pair.a), running(follower(tunnel), record):
            wait_for(lambda: stays in record.now().values(), SECONDS, "look")
    wait_for(lambda: record.now() == {"10.9.0.3": stays}, SECONDS, "end")
    assert len([fact for fact in record.facts() if fact.subject == stays]) == 1


def test_no_secret_key_is_in_a_fact_or_a_log(
    tunnel: Tunnel, pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record = Kept(tmp_path / "store", SystemClock())
    tunnel.peer("10.9.0.2/32")
    with pair.inside(pair.a), running(follower(tunnel), record):
        wait_for(record.now, SECONDS, "look")
    assert tunnel.private_key
    store = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert tunnel.private_key.encode() not in store
    assert tunnel.private_key not in caplog.text


def test_a_user_without_the_right_to_ask_is_told(tunnel: Tunnel, pair: Pair, tmp_path: Path) -> None:
    nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    record = Kept(tmp_path / "store", SystemClock())
    learner = WireguardLearner(
        "vpn",
        interfaces=(),
        names={},
        every_seconds=1,
        clock=SystemClock(),
        command=[*nobody, "wg", "show", tunnel.name, "allowed-ips"],
    )
    stop = Stop()
    with pair.inside(pair.a), pytest.raises(LearnerError) as raised:
        learner.run(record, stop)
    stop.close()
    assert raised.value.hint == "it needs CAP_NET_ADMIN"
