"""The benches of the ledger run, at a size at which nothing is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("bench", "options", "lines"),
    [
        ("commit.py", ["--rounds", "1", "--rows", "50"], ["SQLite table", "DuckDB file", "CSV of go-nflog-acctd"]),
        (
            "reports.py",
            ["--rounds", "1", "--days", "2", "--hosts", "20", "--intervals-per-day", "4", "--jobs", "1"],
            ["netledger: hosts of the month", "SQLite table: hosts of a day", "compaction of a day", "somebody writes"],
        ),
        (
            "subjects.py",
            ["--rounds", "1", "--days", "2", "--hosts", "20", "--intervals-per-day", "24", "--jobs", "1"],
            ["subjects of the month, from rows as they came", "sums by subject of a day", "corrected just now"],
        ),
    ],
)
def test_a_bench_prints_its_table(bench: str, options: list[str], lines: list[str], tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "bench" / bench), "--disk", str(tmp_path), *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("netledger", *lines):
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_made_up_month_is_a_store_like_any_other(tmp_path: Path) -> None:
    store = tmp_path / "store"
    options = ["--days", "2", "--hosts", "30", "--intervals-per-day", "3", "--jobs", "2"]
    argv = [sys.executable, str(ROOT / "bench" / "month.py"), str(store), *options]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert made.stdout.startswith("186 rows, ")
    audit = [str(Path(sys.executable).with_name("netledger")), "audit", "--verify", "--store", str(store)]
    found = subprocess.run(audit, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "6 exact" in found.stdout
