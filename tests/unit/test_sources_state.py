"""State files: what is written comes back, numbers never repeat, interrupted writes and releases leave no mess."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from netledger.errors import InUseError, SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.lasting import Mark
from netledger.sources.state import Closing, Facts, State, boot_id

OPEN = Facts(
    seq=7,
    meter="lan",
    node="gw1",
    start=Moment(1_795_222_967_967_261_739, 2_548_860_542_045),
    boot_id="b",
    side="a",
    groups=(30000, 30001),
    base={"lan_a_ipv4": Count(2**64 - 1, 2**63)},
    rules={"version": "1", "things": {"rule 1 of chain lan_a": {"position": 0, "expr": [None, True, 1.5, "x"]}}},
    fingerprint="f",
    stopped=Moment(1, 2),
)
OBSERVED = Observed(
    kernel=None, accounted=Count(1, 2), other=Count(0, 0), errors={"overruns": 3}, rows=4, source="nflog", meaning="m"
)
CLOSED = replace(OPEN, closing=Closing(end=Moment(3, 4), observed=OBSERVED, interface_names={1: "lo", 17: "eth0"}))


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "run" / "lan", tmp_path / "store" / "meters", "lan")
    made.open()
    return made


@pytest.mark.parametrize("facts", [OPEN, CLOSED, CLOSED.disturbed("x")])
def test_facts_come_back_as_they_were(state: State, facts: Facts) -> None:
    state.save(facts)
    assert state.load() == ([facts], {})


def test_facts_come_back_oldest_first(state: State) -> None:
    for seq in (100_000_001, 9, 10):
        state.save(replace(OPEN, seq=seq))
    assert [facts.seq for facts in state.load()[0]] == [9, 10, 100_000_001]


def test_disturbances_add_up() -> None:
    assert OPEN.disturbed("one").disturbed("two").interrupted == "one; two"


def test_numbers_go_on_from_the_newest_of_runtime_and_store(state: State, tmp_path: Path) -> None:
    assert state.next_seq() == 1
    state.save(replace(OPEN, seq=4))
    assert state.next_seq() == 5
    state.discard(4)
    assert state.next_seq() == 1, "a generation that was never closed has used no number"
    state.save(replace(CLOSED, seq=4))
    assert not (tmp_path / "store").exists(), "a cut does not wait for the store"
    state.forget(4)
    assert state.next_seq() == 5
    assert (tmp_path / "store" / "meters" / "lan.seq").read_text() == "4\n"
    state.save(replace(CLOSED, seq=3))
    state.forget(3)
    assert state.next_seq() == 5, "closing an older one later takes nothing back"


def test_a_number_that_is_none_is_refused_unless_another_is_known(tmp_path: Path) -> None:
    made = State(tmp_path / "run", tmp_path, "lan")
    (tmp_path / "lan.seq").write_text("four\n")
    with pytest.raises(SourceError, match=r"lan\.seq: read: holds no number"):
        made.open()
    made.open(known_seq=4)
    assert made.next_seq() == 5
    made.save(replace(CLOSED, seq=5))
    made.forget(5)
    assert (tmp_path / "lan.seq").read_text() == "5\n"


@pytest.mark.parametrize("kept", ["", "3\n", "9\n"])
def test_a_lost_number_is_found_again_in_what_is_known(tmp_path: Path, kept: str) -> None:
    if kept:
        (tmp_path / "lan.seq").write_text(kept)
    made = State(tmp_path / "run", tmp_path, "lan")
    made.open(known_seq=7)
    assert made.next_seq() == max(7, int(kept or 0)) + 1


def test_a_store_that_cannot_be_written_stops_neither_start_nor_cut_and_keeps_the_facts(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")  # a file where the directory would be
    made = State(tmp_path / "run", tmp_path / "store" / "meters", "lan")
    with pytest.raises(SourceError, match="not a directory"):
        made.open()
    (tmp_path / "store").unlink()
    made.open()
    (tmp_path / "store").write_text("")
    made.lasting.set_mark(Mark(1, "b"))
    made.save(CLOSED)
    with pytest.raises(SourceError, match=r"store/meters.*: write: "):
        made.forget(7)
    assert made.load() == ([CLOSED], {})
    (tmp_path / "store").unlink()
    made.forget(7)
    assert made.load() == ([], {})


def test_a_directory_that_was_removed_comes_back_with_all_facts_and_the_lock(state: State, tmp_path: Path) -> None:
    state.save(replace(CLOSED, seq=6))
    state.save(OPEN)
    shutil.rmtree(tmp_path / "run")
    assert state.next_seq() == 8
    state.save(replace(OPEN, seq=8))
    assert [facts.seq for facts in state.load()[0]] == [6, 7, 8]
    with pytest.raises(InUseError, match="already counted by pid"):
        State(tmp_path / "run" / "lan", tmp_path / "store" / "meters", "lan").open()


def test_the_mark_goes_with_the_last_generation_after_the_end(state: State) -> None:
    mark = Mark(1_795_222_967_967_261_739, boot_id())
    state.lasting.set_mark(mark)
    state.save(replace(CLOSED, seq=6))
    state.save(CLOSED)
    state.forget(6)
    assert state.lasting.mark() == mark
    state.end()
    state.forget(7)
    assert state.lasting.mark() is None


def test_a_file_system_without_room_is_named(state: State) -> None:
    state.table(1).with_suffix(".json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as refusal:
        state.save(replace(OPEN, seq=1))
    assert "gen-00000001" in refusal.value.filename


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1}', "[]", "\0", '{"seq": '])
def test_damaged_facts_are_told_apart_and_set_aside(state: State, tmp_path: Path, text: str) -> None:
    path = tmp_path / "run" / "lan" / "gen-00000001.json"
    path.write_text(text)
    state.save(OPEN)
    assert state.load() == ([OPEN], {1: path})
    aside = state.set_aside(path)
    assert aside.name == "gen-00000001.damaged.json"
    state.save(replace(CLOSED, seq=1))
    assert aside.read_text() == text
    assert state.load() == ([replace(CLOSED, seq=1), OPEN], {})


def test_facts_of_another_format_are_not_understood(state: State, tmp_path: Path) -> None:
    state.save(OPEN)
    path = tmp_path / "run" / "lan" / "gen-00000007.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    assert state.load() == ([], {7: path})


def test_a_start_sweeps_up_half_written_facts_and_tables_that_were_committed(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    for name in ("gen-00000001.json.new", "gen-00000001.table", "gen-00000002.table", "notes.txt"):
        (runtime / name).write_text("")
    made = State(runtime, tmp_path, "lan")
    (runtime / "gen-00000002.json").write_text("")
    made.open()
    assert sorted(path.name for path in runtime.iterdir()) == [
        "gen-00000002.json", "gen-00000002.table", "lock", "notes.txt",
    ]  # fmt: skip
    made.close()


def test_a_second_one_is_refused_until_the_first_has_closed(state: State, tmp_path: Path) -> None:
    second = State(tmp_path / "run" / "lan", tmp_path / "store" / "meters", "lan")
    with pytest.raises(InUseError, match="meter lan: open: already counted by pid"):
        second.open()
    state.close()
    state.close()
    second.open()
    second.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"file.*: open: not a directory"):
        State(tmp_path / "file" / "run", tmp_path, "lan").open()


def test_the_boot_id_stays_while_the_machine_runs() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36


def test_the_last_sign_of_a_dead_process_stays_until_the_next_one_leaves_its_own(state: State, tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lan" / "lock"
    assert state.last_sign_ns is None
    state.close()
    os.utime(lock, ns=(5_000_000_000, 5_000_000_000))
    for _ in range(2):
        following = State(tmp_path / "run" / "lan", tmp_path / "store" / "meters", "lan")
        following.open()
        assert following.last_sign_ns == 5_000_000_000
        following.close()
    following.open()
    following.leave_sign()
    following.close()
    following.open()
    assert following.last_sign_ns is not None
    assert following.last_sign_ns > 5_000_000_000
    following.close()


def test_all_files_of_a_table_go_together(state: State, tmp_path: Path) -> None:
    """A table of several threads lies in several files."""
    state.save(OPEN)
    paths = [state.table(OPEN.seq), *(Path(f"{state.table(OPEN.seq)}.{number}") for number in (1, 2))]
    other = Path(f"{state.table(8)}.1")
    for path in (*paths, other):
        path.write_bytes(b"rows")
    assert state.set_aside(paths[0]).name == "gen-00000007.damaged.table"
    aside = sorted(path.name for path in tmp_path.joinpath("run", "lan").glob("*.damaged.*"))
    assert aside == [f"gen-00000007.damaged.table{rest}" for rest in ("", ".1", ".2")]
    for path in paths:
        path.write_bytes(b"rows")
    state.discard(OPEN.seq)
    assert not any(path.exists() for path in paths)
    assert other.exists()
    state.close()
    State(tmp_path / "run" / "lan", tmp_path / "store" / "meters", "lan").open()
    assert not other.exists(), "it belongs to no generation, and the file that all would be found by is gone"
