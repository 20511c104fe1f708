"""Following who has which address."""

import json
from pathlib import Path

import pytest

from netledger.compat.nacctd.debugging import DebugFile
from netledger.compat.nacctd.users import Users
from netledger.compat.nacctd.watch import Watch
from netledger.intervals import SECOND_NS, Moment, SystemClock
from tests.unit.compat.nacctd.quiet import Told, table_in

S = SECOND_NS


def at(second: float) -> Moment:
    return Moment(int((1000 + second) * S), int(second * S))


class Scene:
    """A directory of addresses, and what follows it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "ip"
        self.runtime = directory / "run"
        self.runtime.mkdir()
        self.told = Told()
        self.table = table_in(directory, f"dynamicip {self.directory}\ndynamicnet 10.50.0.0 255.255.0.0\n")

    def users(self) -> Users:
        debug = DebugFile(None, 0, SystemClock())
        return Users(self.table, self.runtime, self.told, debug)  # type: ignore[arg-type]  # it says the same


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.directory.mkdir()
    (made.directory / "10.50.0.2").write_text("alice\n")
    return made


def test_who_was_there_before_the_start_is_known(scene: Scene) -> None:
    users = scene.users()
    users.begin(at(1))
    assert users.holders == {"10.50.0.2": "alice"}
    assert users.holders_at(1 * S) == users.holders
    assert not users.look(at(2))
    users.close()


@pytest.mark.parametrize("how", ["in place", "by rename", "removed", "another", "directory gone"])
def test_each_way_to_change_is_told_at_once(scene: Scene, how: str) -> None:
    users = scene.users()
    users.begin(at(1))
    file = scene.directory / "10.50.0.2"
    expected = {"10.50.0.2": "bob"}
    match how:
        case "in place":
            file.write_text("bob\n")
        case "by rename":
            (scene.directory / "new").write_text("bob\n")
            (scene.directory / "new").rename(file)
        case "another":
            (scene.directory / "10.50.0.3").write_text("bob\n")
            expected = {"10.50.0.2": "alice", "10.50.0.3": "bob"}
        case "removed":
            file.unlink()
            expected = {}
        case _:
            file.unlink()
            scene.directory.rmdir()
            expected = {}
    assert users.look(at(1.5))
    assert users.seen == expected
    assert users.holders == {"10.50.0.2": "alice"}
    users.note(at(1.5))
    users.hand_over(at(1.5))
    assert [users.holders_at(int(second * S)) for second in (1, 1.4)] == [{"10.50.0.2": "alice"}] * 2
    assert users.holders_at(int(1.5 * S)) == expected
    users.close()


def test_a_burst_of_changes_is_followed_by_one_look(scene: Scene) -> None:
    users = scene.users()
    users.begin(at(1))
    (scene.directory / "10.50.0.2").write_text("bob\n")
    assert not users.look(at(1.05))
    (scene.directory / "10.50.0.3").write_text("carol\n")
    assert users.due_ns == int(1.1 * S)
    assert users.look(at(1.1))
    assert users.seen == {"10.50.0.2": "bob", "10.50.0.3": "carol"}
    users.close()


def test_a_file_that_is_touched_is_no_change(scene: Scene) -> None:
    users = scene.users()
    users.begin(at(1))
    (scene.directory / "10.50.0.2").write_text("alice\n")
    (scene.directory / "other").write_text("x\n")
    assert not users.look(at(2))
    users.close()


def test_a_directory_that_is_not_there_is_told_of_once_and_found_when_it_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    users = scene.users()
    users.begin(at(1))
    assert not users.look(at(2.5))
    assert scene.told.texts == [f"couldn't stat {scene.directory}: No such file or directory"]
    scene.directory.mkdir()
    (scene.directory / "10.50.0.2").write_text("alice\n")
    assert users.look(at(4))
    assert users.seen == {"10.50.0.2": "alice"}
    users.close()


def test_a_process_that_comes_later_knows_who_had_what_before(scene: Scene) -> None:
    users = scene.users()
    users.begin(at(1))
    (scene.directory / "10.50.0.2").write_text("bob\n")
    assert users.look(at(2))
    users.note(at(2))
    users.close()
    later = scene.users()
    later.recall()
    later.begin(at(9))
    assert [later.holders_at(second * S)["10.50.0.2"] for second in (1, 2, 9)] == ["alice", "bob", "bob"]
    later.forget(2 * S)
    later.note(at(10))
    noted = json.loads((scene.runtime / "holders.json").read_text())
    assert sorted(map(int, noted)) == [2 * S, 9 * S, 10 * S]
    later.close()


@pytest.mark.parametrize("content", ["", "[]", "{}x", '{"a": {}}', '{"1": 2}'])
def test_a_damaged_note_is_told_and_holds_nobody_up(scene: Scene, content: str) -> None:
    (scene.runtime / "holders.json").write_text(content)
    users = scene.users()
    users.recall()
    assert "not known any more" in scene.told.texts[0]
    assert users.holders_at(5 * S) == {}


def test_a_watch_of_one_name_tells_nothing_of_others(tmp_path: Path) -> None:
    watch = Watch()
    assert watch.turn_on(str(tmp_path), "utmp")
    (tmp_path / "wtmp").write_text("x")
    assert not watch.news()
    (tmp_path / "utmp").write_text("x")
    assert watch.news()
    assert not watch.news()
    watch.turn_off()
    assert not watch.turn_on(str(tmp_path / "missing"), None)
    assert not watch.is_on
