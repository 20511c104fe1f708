"""A bar where somebody watches, once it takes a while; nothing anywhere else."""

import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
from netledger.cli import progress
progress._PATIENCE_SECONDS = {patience}
with progress.progress_bar() as show:
    for number in range(10):
        show("rows of 2026-11-20", number, 10)
"""


def run(patience: float, *, on_terminal: bool) -> str:
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(patience=patience)],
            stdout=subprocess.PIPE,
            stderr=terminal if on_terminal else subprocess.PIPE,
            check=True,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
        )
        os.write(terminal, b"end\n")
        shown = os.read(controller, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert done.stdout == b""
    return shown.replace("end\r\n", "") + (done.stderr or b"").decode()


def test_a_bar_shows_what_is_done_and_how_far() -> None:
    shown = run(-1, on_terminal=True)
    assert "rows of 2026-11-20" in shown
    assert "90%" in shown


@pytest.mark.parametrize(("patience", "on_terminal"), [(60, True), (-1, False)])
def test_what_is_quick_or_unwatched_has_none(patience: float, *, on_terminal: bool) -> None:
    assert run(patience, on_terminal=on_terminal) == ""
