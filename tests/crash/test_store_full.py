"""A disk that is full or dead at any moment of a commit or of housekeeping: nothing lost, nothing twice, no litter."""

import os
import random
from pathlib import Path

import pytest

from tests.crash.disk import in_own_mounts
from tests.crash.trial import say

pytestmark = pytest.mark.loop


@pytest.mark.parametrize(
    ("scenario", "places"),
    [("commit", {"begun", "inserted"}), ("maintain", {"begun", "forgotten"}), ("dead", {"begun"})],
)
def test_a_store_refuses_and_goes_on(tmp_path: Path, scenario: str, places: set[str]) -> None:
    seed = os.environ.get("NETLEDGER_SEED") or str(random.SystemRandom().randrange(1_000_000))
    found = in_own_mounts("tests.crash.full", scenario, str(tmp_path), seed)
    say(f"store, {scenario}: {found['acknowledged']} acknowledged, refused after {found['failed']}, seed {seed}")
    assert found["problems"] == []
    assert isinstance(found["failed"], dict)
    assert found["failed"].keys() >= places
