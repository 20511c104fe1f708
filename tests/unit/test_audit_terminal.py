"""``netledger audit`` on a terminal that is narrower than its lines."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.unit.booked import book
from tests.unit.test_audit import at, audit


@pytest.mark.parametrize("columns", [60, 80])
def test_lines_are_broken_between_words_and_say_the_same(tmp_path: Path, columns: int) -> None:
    store = tmp_path / "s"
    book(store, [at("10:00"), at("10:10")])
    whole = audit(store, "--verify")[1]
    assert max(map(len, whole.splitlines())) > 100
    controller, terminal = pty.openpty()
    try:
        termios.tcsetwinsize(terminal, (24, columns))
        arguments = ["audit", "--store", str(store), "--timezone", "UTC", "--verify"]
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        command = [sys.executable, "-m", "netledger", *arguments]
        subprocess.run(command, stdout=terminal, stderr=subprocess.DEVNULL, env=environment, check=False)
        shown = os.read(controller, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert shown.split() == whole.split()
    digest = max(whole.split(), key=len)
    # Only what cannot be broken may run over: the digest has 64 characters, and stands beneath the second word.
    too_long = [line.strip() for line in shown.splitlines() if len(line) > columns]
    assert too_long == ([digest] if columns < 80 else [])
