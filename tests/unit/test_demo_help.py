"""What the demos say of themselves; and that a word they do not know starts nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DEMOS = pytest.mark.parametrize("demo", ["run", "day"])


def asked(demo: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"demo/{demo}", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


@DEMOS
def test_a_demo_says_what_it_does_and_runs_nothing(demo: str) -> None:
    done = asked(demo, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: demo/{demo} [-h]")
    assert "root" in done.stdout
    assert "leaves nothing behind" in " ".join(done.stdout.split())
    assert ("--without-bpf" in done.stdout) == (demo == "run")


@DEMOS
def test_a_word_that_a_demo_does_not_know_starts_nothing(demo: str) -> None:
    done = asked(demo, "--halp")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --halp" in done.stderr
