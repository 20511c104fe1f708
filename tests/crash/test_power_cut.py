"""Power cuts on ext4: what was acknowledged is on the disk, row for row, and the store goes on."""

import os
import random
from pathlib import Path

import pytest

from tests.crash.disk import in_own_mounts
from tests.crash.power import Cuts, cuts_of
from tests.crash.trial import say, shim

pytestmark = pytest.mark.loop

CUTS = 12
NO_SYNC = Path(__file__).with_name("nosync.c")


def cut(directory: Path, cuts: int, *library: str) -> Cuts:
    seed = os.environ.get("NETLEDGER_SEED") or str(random.SystemRandom().randrange(1_000_000))
    say(f"power cuts: NETLEDGER_SEED={seed}")
    return cuts_of(in_own_mounts("tests.crash.power", str(directory), seed, str(cuts), *library))


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    found = cut(tmp_path, CUTS)
    say(
        f"store, power cuts: {found.cuts} cuts, {found.acknowledged} acknowledged, {found.compactions} compactions, "
        f"{len(found.lost)} lost, {len(found.double)} double"
    )
    assert (found.lost, found.double, found.strange) == ([], [], [])
    assert found.cuts == CUTS
    assert found.acknowledged > 10 * CUTS
    assert found.compactions > 0


def test_a_disk_that_lies_about_fsync_is_found_out(tmp_path: Path) -> None:
    """The same trial with an fsync that does nothing: were nothing lost, the trial above would prove nothing."""
    found = cut(tmp_path, 4, str(shim(NO_SYNC)))
    say(f"store, without fsync: power cut {found.cuts} lost {len(found.lost)} of {found.acknowledged} acknowledged")
    assert found.lost != []
