"""A reader sees one moment of the store, takes no lock, and needs no right to write."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from netledger.errors import LedgerError
from netledger.ledger.database import MIGRATIONS
from netledger.ledger.reader import Reader, Snapshot, read_parquet
from netledger.ledger.rows import STORED_COLUMNS
from netledger.receipt import COUNT_MAX, Status
from tests.unit.rows import ARROW, SECOND_NS, START_NS, batch, row
from tests.unit.store import HOSTS, add, filled, opened

NOBODY = 65_534
ROOT = Path(__file__).parents[2]

# Becomes another user, and says what that one sees: intervals, and the sum of all rows. What Python needs is loaded
# before, for that user may not even see it.
LOOK = """
import json, os, sys
from pathlib import Path
from netledger.ledger.database import MIGRATIONS
from netledger.ledger.reader import Reader, Snapshot
store, user, group = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
reader = Reader(store)
question = "SELECT count(*) AS rows, sum(sent_bytes)::BIGINT AS sent FROM traffic"
reader.query(question, Snapshot(files=(), intervals=())).to_pylist()
os.setgroups([group])
os.setgid(user)
os.setuid(user)
assert not os.access(store, os.W_OK)
snapshot = reader.snapshot()
(sums,) = reader.query(question, snapshot).to_pylist()
print(json.dumps([len(snapshot.intervals), sums["rows"], sums["sent"]]))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that other users may look into, as those of pytest are not."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory / "store"
    shutil.rmtree(directory)


def look_as_nobody(store: Path) -> list[int]:
    # As a member of the group that may read the store.
    arguments = [str(store), str(NOBODY), str(store.stat().st_gid)]
    answer = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stderr
    seen: list[int] = json.loads(answer.stdout)
    return seen


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_another_user_reads_while_a_writer_runs_and_after_it(shared: Path) -> None:
    with opened(shared) as ledger:
        add(ledger, 1)
        assert look_as_nobody(shared) == [1, 3, 1000]
        add(ledger, 2)
        assert look_as_nobody(shared) == [2, 6, 2000]
    assert not (shared / "ledger.sqlite-wal").exists()
    assert look_as_nobody(shared) == [2, 6, 2000]


@needs_root
def test_another_user_reads_what_a_killed_writer_left(shared: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.unit.store import add, opened\n"
        "with opened(Path(sys.argv[1])) as ledger:\n    add(ledger, 1)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(shared)], cwd=ROOT, check=False, timeout=120)
    assert (shared / "ledger.sqlite-wal").stat().st_size > 0
    assert look_as_nobody(shared) == [1, 3, 1000]


def test_a_snapshot_is_of_the_intervals_that_begin_in_its_period(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    length_ns = 300 * SECOND_NS
    found = Reader(tmp_path).snapshot(START_NS + length_ns, START_NS + 3 * length_ns)
    assert [(one.meter, one.seq) for one in found.intervals] == [("lan", 2), ("lan", 3), ("wan", 2), ("wan", 3)]
    assert sorted(path.name[:16] for path in found.files) == [
        "gw1-lan-00000002",
        "gw1-lan-00000003",
        "gw1-wan-00000002",
        "gw1-wan-00000003",
    ]


def test_a_snapshot_does_not_see_what_is_committed_later(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        before = reader.snapshot()
        add(ledger, 2)
        assert len(reader.query("FROM traffic", before)) == len(HOSTS)
        assert len(reader.query("FROM traffic", reader.snapshot())) == 2 * len(HOSTS)


def test_a_question_about_nothing_has_an_answer_of_the_same_types(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, 1))
    empty = reader.query("FROM traffic", Snapshot(files=(), intervals=()))
    full = reader.query("FROM traffic", reader.snapshot())
    assert empty.num_rows == 0
    assert tuple(empty.column_names) == STORED_COLUMNS
    assert empty.schema.types == full.schema.types


def test_a_question_takes_parameters(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, 2))
    snapshot = reader.snapshot()
    assert len(reader.query("FROM traffic WHERE meter = ? AND seq = ?", snapshot, ["lan", 2])) == len(HOSTS)
    assert len(reader.query("FROM traffic WHERE meter = $meter", snapshot, {"meter": "wan"})) == 2 * len(HOSTS)


def test_nothing_is_loaded_from_the_network(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, 1))
    with pytest.raises(LedgerError, match="extension"):
        reader.query("SELECT * FROM read_csv('https://127.0.0.1:9/x.csv')", reader.snapshot())


def test_a_question_that_is_none_is_an_error_of_the_store(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, 1))
    with pytest.raises(LedgerError, match=r"query: .*syntax error"):
        reader.query("SELEKT", reader.snapshot())


def test_no_store_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        Reader(tmp_path).snapshot()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_being_made_has_no_version(tmp_path: Path) -> None:
    assert Reader(tmp_path).version() == 0
    (tmp_path / "ledger.sqlite").touch()
    assert Reader(tmp_path).version() == 0
    with opened(tmp_path):
        assert Reader(tmp_path).version() == len(MIGRATIONS)


def test_an_odd_path_is_only_a_path(tmp_path: Path) -> None:
    store = filled(tmp_path / "it's 100% #1?", 1)
    snapshot = Reader(store).snapshot()
    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT count(*) FROM {read_parquet(snapshot.files)}").fetchall()  # noqa: S608  # ours
    assert found == [(2 * len(HOSTS),)]


def test_the_newest_interval_is_that_of_the_meter(tmp_path: Path) -> None:
    reader = Reader(filled(tmp_path, 3))
    newest = reader.newest(node="gw1", meter="lan")
    assert newest is not None
    assert (newest.seq, newest.end_ns, newest.status) == (3, START_NS + 900 * SECOND_NS, Status.EXACT)
    assert newest.committed_ns > 0
    assert reader.newest(node="gw2", meter="lan") is reader.newest(node="gw1", meter="dmz") is None


def test_duckdb_reads_every_value_as_it_was(tmp_path: Path) -> None:
    most = (COUNT_MAX, COUNT_MAX)
    rows = [
        row("host", host="255.255.255.255", peer="::", protocol=255, host_port=65_535, sent=most, received=(0, 1)),
        row("host", host="2001:db8::1", label='é, "x"', interface="eth0", received=most),
        row("host", host="0.0.0.1", peer="ffff::", peer_port=0, sent=(1, COUNT_MAX - 1)),
        row("external", sent=(0, COUNT_MAX)),
    ]
    with opened(tmp_path) as ledger:
        add(ledger, 1, rows)
    reader = Reader(tmp_path)
    found = reader.query(f"SELECT {', '.join(ARROW.names)} FROM traffic", reader.snapshot()).to_pylist()  # noqa: S608  # ours
    by_host = {(one["account"], one["host"]): one for one in found}
    expected = batch(rows).to_pylist()
    assert [by_host[one["account"], one["host"]] for one in expected] == expected
