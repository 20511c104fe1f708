"""``netledger import`` as a process, and what it told."""

import json
from pathlib import Path

from tests.unit.test_cli_main import netledger


def imported(store: Path, *words: object, status: int = 0) -> dict[str, object]:
    """What it printed for programs, of the node gw1 and in UTC."""
    done = netledger("import", *map(str, words), "--json", "--timezone", "UTC", "--store", store, "--node", "gw1")
    assert done.returncode == status, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def counted(told: dict[str, object], new: str, known: str) -> tuple[object, object, int]:
    """How much is new, how much is known, and how many files are refused."""
    refused = told["refused"]
    assert isinstance(refused, list)
    return told[new], told[known], len(refused)
