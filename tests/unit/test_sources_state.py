"""State files: what is written comes back, numbers never repeat, interrupted writes and releases leave no mess."""

from dataclasses import replace
from pathlib import Path

import pytest

from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
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
    assert state.load() == [facts]


def test_facts_come_back_oldest_first(state: State) -> None:
    for seq in (100_000_001, 9, 10):
        state.save(replace(OPEN, seq=seq))
    assert [facts.seq for facts in state.load()] == [9, 10, 100_000_001]


def test_disturbances_add_up() -> None:
    assert OPEN.disturbed("one").disturbed("two").interrupted == "one; two"


def test_numbers_go_on_from_the_newest_of_runtime_and_store(state: State, tmp_path: Path) -> None:
    assert state.next_seq() == 1
    state.save(replace(OPEN, seq=4))
    assert state.next_seq() == 5
    state.forget(4)
    assert state.next_seq() == 1, "a generation that was never closed has used no number"
    state.freeze(replace(CLOSED, seq=4))
    state.forget(4)
    assert state.next_seq() == 5
    assert (tmp_path / "store" / "meters" / "lan.seq").read_text() == "4\n"
    state.freeze(replace(CLOSED, seq=3))
    assert state.next_seq() == 5, "closing an older one later takes nothing back"


def test_a_number_that_is_none_is_refused(state: State, tmp_path: Path) -> None:
    (tmp_path / "store" / "meters" / "lan.seq").write_text("four\n")
    with pytest.raises(SourceError, match=r"lan\.seq: read: holds no number"):
        state.next_seq()


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1}', "[]", "\0", '{"seq": '])
def test_damaged_facts_are_refused_with_a_hint(state: State, tmp_path: Path, text: str) -> None:
    (tmp_path / "run" / "lan" / "gen-00000001.json").write_text(text)
    with pytest.raises(SourceError, match=r"gen-00000001\.json: read: not understood") as refusal:
        state.load()
    assert "move it away" in (refusal.value.hint or "")


def test_facts_of_another_format_are_refused(state: State, tmp_path: Path) -> None:
    state.save(OPEN)
    path = tmp_path / "run" / "lan" / "gen-00000007.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(SourceError, match="format"):
        state.load()


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
    with pytest.raises(SourceError, match="meter lan: open: already counted by pid"):
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


def test_numbers_that_are_used_are_skipped(tmp_path: Path) -> None:
    state = State(tmp_path / "run", tmp_path / "store", "lan")
    state.skip_to(7)
    state.skip_to(3)
    state.open()
    assert state.next_seq() == 8
    assert (tmp_path / "store" / "lan.seq").read_text() == "7\n"
    state.close()


def test_a_number_that_cannot_be_kept_is_an_error_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(SourceError, match=r"lan\.seq: write: not a directory"):
        State(tmp_path / "run", tmp_path / "store", "lan").skip_to(7)
