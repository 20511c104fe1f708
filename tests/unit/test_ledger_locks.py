"""Processes share a ledger by SQLite's locks, and closing a file of one's own would take them away (fcntl(2))."""

import subprocess
import sys
from pathlib import Path

import pytest

from netledger.ledger.outbox import Outbox
from netledger.ledger.reader import Reader
from tests.unit.store import add, opened

_OTHER = """
import sys
from pathlib import Path
from netledger.intervals import SystemClock
from netledger.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), clock=SystemClock())
ledger.open()
ledger.close()
"""


def held(store: Path) -> list[str]:
    """The files of the ledger that this process has open, by their names now."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:  # the one that lists them
            continue
    return sorted(link for link in links if link.startswith(str(store / "ledger.sqlite")))


@pytest.mark.parametrize("beside", ["nothing", "reader", "snapshot", "outbox", "writer"])
def test_a_process_that_comes_and_goes_takes_nothing_from_one_that_stays(tmp_path: Path, beside: str) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        match beside:
            case "reader":
                assert Reader(tmp_path).version() > 0
            case "snapshot":
                assert len(Reader(tmp_path).snapshot().intervals) == 1
            case "outbox":
                outbox = Outbox(tmp_path, "files")
                outbox.due()
                outbox.close()
            case "writer":
                with opened(tmp_path):
                    pass
            case _:
                assert beside == "nothing"
        subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path)], check=True)
        assert not [link for link in held(tmp_path) if link.endswith("(deleted)")]
        add(ledger, 2)
        seen = subprocess.run(
            [sys.executable, "-c", _COUNT, str(tmp_path)], check=True, capture_output=True, text=True
        ).stdout
        assert seen == "2\n"


_COUNT = """
import sys
from pathlib import Path
from netledger.ledger.reader import Reader
print(len(Reader(Path(sys.argv[1])).snapshot().intervals))
"""
