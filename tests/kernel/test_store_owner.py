"""Root writes into the store of a service that runs as a user of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.ledger.reader import Reader
from tests.unit.old_files import write

NOBODY = 65_534


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user can look into; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_root_imports_belongs_to_the_owner_of_the_store(folder: Path) -> None:
    store = folder / "store"
    store.mkdir()
    os.chown(store, NOBODY, NOBODY)
    old = folder / "old"
    write(old, "2026-11-20 14:34:04", "2026-11-20 14:35:00")
    old.chmod(0o700)
    words = [sys.executable, "-m", "netledger", "import", str(old), "--store", str(store), "--timezone", "UTC"]
    for _ in range(2):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*words[:3], "maintain", "--store", str(store)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(Reader(store).snapshot().intervals) == 1
    owners = {path: (path.stat().st_uid, path.stat().st_gid) for path in store.rglob("*")}
    assert {path: owner for path, owner in owners.items() if owner != (NOBODY, NOBODY)} == {}
    assert any(path.suffix == ".parquet" for path in owners)
