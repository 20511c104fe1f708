"""A process that is killed at any step of an export: the next one writes each interval once, and the same bytes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.exports.formats import Export, FormatName
from tests.kernel.senders import ROOT
from tests.unit.test_pipeline_exports import running

WHOLE = ["written", "synced", "renamed", "named"]
STEPS: dict[FormatName, list[str]] = {
    "csv": [*(f"rows {step}" for step in WHOLE), *(f"receipt {step}" for step in WHOLE), "done"],
    "jsonl": [*WHOLE, "done"],
    "go-nflog-acctd": ["written", "synced", "claimed", "renamed", "named", "done"],
}

# Commits three intervals, and kills itself when the second one has come to the step whose name it was given.
EXPORTER = """
import os, signal, sys
from pathlib import Path
from netledger.exports.formats import Export
from tests.crash.test_export_steps import exports_of
from tests.unit.test_pipeline_exports import running

done = []

def at_step(name):
    done.append(name)
    if name == sys.argv[3] and done.count(name) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

with running(Path(sys.argv[1]) / "store", *exports_of(Path(sys.argv[1]), sys.argv[2]), at_step=at_step) as run:
    run.commit(1, 2, 3)
    run.settle()
"""


def exports_of(place: Path, form: FormatName) -> list[Export]:
    return [Export(name="a", format=form, directory=place / "a", meters=("lan",))]


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("form", "step"), [(form, step) for form, steps in STEPS.items() for step in steps])
def test_an_export_killed_at_any_step_is_written_once_by_the_next_start(
    tmp_path: Path, form: FormatName, step: str
) -> None:
    with running(tmp_path / "whole" / "store", *exports_of(tmp_path / "whole", form)) as run:
        run.commit(1, 2, 3)
    expected = files(tmp_path / "whole" / "a")
    assert len(expected) == (6 if form == "csv" else 3)
    killed = tmp_path / "killed"
    argv = [sys.executable, "-c", EXPORTER, str(killed), form, step]
    assert subprocess.run(argv, cwd=ROOT, check=False, timeout=120).returncode == -signal.SIGKILL
    named = [path for path in (killed / "a").rglob("*.*") if path.suffix in {".csv", ".jsonl"}]
    before = {path.name: path.stat().st_ino for path in named}
    with running(killed / "store", *exports_of(killed, form)) as run:
        run.commit(2, 3)  # as a source does that was not told of the commit
    assert files(killed / "a") == expected
    # What has its name is complete but for rows without their receipt, and nobody writes to it again.
    complete = {path.name.replace(".receipt.json", ".csv") for path in (killed / "a").rglob("*") if path.is_file()}
    is_half = form == "csv" and step in STEPS["csv"][2:6]
    again = [name for name, inode in before.items() if inode_of(killed / "a", name) != inode]
    assert set(before) <= complete
    assert len(again) == is_half


def inode_of(directory: Path, name: str) -> int:
    (path,) = directory.rglob(name)
    return path.stat().st_ino


@pytest.mark.parametrize("form", list(STEPS))
def test_every_step_has_its_kill(tmp_path: Path, form: FormatName) -> None:
    done: list[str] = []
    with running(tmp_path / "store", *exports_of(tmp_path, form), at_step=done.append) as run:
        run.commit(1)
    assert done == STEPS[form]
