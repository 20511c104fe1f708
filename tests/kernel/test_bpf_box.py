"""The ground of the tests of the bpf source: pins that nobody else sees, and a duel that both CPUs fight."""

import subprocess
from pathlib import Path

import pytest

from tests.kernel.bpf_box import BPFFS, BpfPair, own_bpffs, pins
from tests.kernel.bpf_duel import Duel, Flood
from tests.kernel.lab import wait_for

MAP = ["type", "array", "key", "4", "value", "4", "entries", "1", "name", "nlt_box"]


@pytest.mark.peers("bpftool")
def test_pins_are_seen_in_the_box_by_its_children_too_and_nowhere_else() -> None:
    directory, pin = Path.cwd(), BPFFS / "nlt_box"
    with BpfPair() as pair, own_bpffs():
        pair.run(pair.a, ["bpftool", "map", "create", str(pin), *MAP])
        assert pins() == ["nlt_box"]
        assert "nlt_box" in pair.run(pair.b, ["ls", str(BPFFS)])
        with own_bpffs():
            assert pins() == []
        assert pins() == ["nlt_box"]
    assert Path.cwd() == directory
    assert not pin.exists()
    listed = ["bpftool", "map", "list"]
    wait_for(lambda: b"nlt_box" not in subprocess.run(listed, check=True, capture_output=True).stdout, 10, "its end")


def counted(duel: Duel) -> tuple[int, int]:
    """What has come in, and what has gone out."""
    witness = duel.counters(duel.near, "witness")
    return witness["input"].packets, witness["output"].packets


def test_the_duel_comes_from_both_sides_and_its_end_is_seen() -> None:
    with own_bpffs(), Duel() as duel:
        with Flood(duel, rate=5000) as flood:
            wait_for(lambda: min(counted(duel)) > 5000 and duel.witnessed().packets > 20_000, 20, "packets")
            sent = flood.stop()
        # A busy machine may drop some before they are received.
        assert 20_000 < duel.settled().packets <= sent.packets
