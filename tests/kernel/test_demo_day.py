"""The operator's day of the tutorial, lived once more: its end says whether the books are exact."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


def test_a_day_with_a_full_disk_ends_with_exact_books() -> None:
    done = subprocess.run(
        [sys.executable, "demo/day"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "the books are exact"
    assert any(line.startswith("store_not_written, meter lan") and "no space left on device" in line for line in lines)
    page = (ROOT / "docs" / "tutorial" / "operator.md").read_text(encoding="utf-8")
    assert [line for line in lines if line.startswith("# ")] == [
        line for line in page.splitlines() if line.startswith("# ") and not line.startswith("# A day")
    ], "the page shows other commands than the day has"
