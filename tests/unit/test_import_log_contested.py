"""Logs of two machines whose users had the same address at the same time."""

from pathlib import Path

import pytest

from netledger.ledger.assignments import Assignments
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.test_cli_main import netledger
from tests.unit.test_import_logs import HOUR, T, held, imported, line, rows, written

ADDRESS, SERVER = "10.50.0.2", "192.0.2.1"
USERS = {"gw1": "alice", "gw2": "bob", "gw3": "carol"}


def log(path: Path, node: str) -> Path:
    """What a machine wrote: nobody has traffic of another machine's at another time."""
    return written(path / f"{node}.log", (line(T + n, ADDRESS, SERVER, 100, USERS[node]) for n in range(10)))


@pytest.mark.parametrize("order", [("gw1", "gw2", "gw3"), ("gw3", "gw1", "gw2")])
def test_traffic_of_two_with_one_address_is_neithers_whichever_log_comes_last(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    store = tmp_path / "store"
    told = [imported(store, log(tmp_path, node), "--meter", node)["contested"] for node in order]
    assert told == [[], [ADDRESS], [ADDRESS]]
    assert rows(store, "--by", "meter,subject") == [(node, "unknown", "no assignment", 1000, 0, 0, 0) for node in USERS]
    assert rows(store, "--by", "label") == [(user, 1000, 0, 0, 0) for user in USERS.values()]
    assert verify(Reader(store)) == []


def test_one_user_of_two_machines_is_one_user(tmp_path: Path) -> None:
    store = tmp_path / "store"
    both = [line(T + n, ADDRESS, SERVER, 100, "alice") for n in range(10)]
    for node in ("gw1", "gw2"):
        assert imported(store, written(tmp_path / node, both), "--meter", node)["contested"] == []
    assert rows(store, "--by", "subject") == [("alice", None, 2000, 0, 0, 0)]


def test_only_the_time_that_both_speak_of_is_contested(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = [line(HOUR + n, ADDRESS, SERVER, 100, "alice") for n in range(0, 7200, 600)]
    second = [line(HOUR + n, ADDRESS, SERVER, 30, "bob") for n in range(1800, 3000, 600)]
    imported(store, written(tmp_path / "first.log", first), "--meter", "gw1")
    assert held(store) == [(ADDRESS, "alice", HOUR, HOUR + 6601)]
    assert imported(store, written(tmp_path / "second.log", second), "--meter", "gw2")["contested"] == [ADDRESS]
    facts = Assignments(store, TestClock(START_NS)).facts()
    assert [(one.subject, one.detail.get("contested") is not None) for one in facts] == [
        ("alice", False),
        (None, True),
    ]
    assert rows(store, "--by", "meter,subject") == [
        ("gw1", "alice", None, 1200, 0, 0, 0),
        ("gw2", "unknown", "gap", 60, 0, 0, 0),
    ]


def test_it_is_told_and_a_repeated_import_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported(store, log(tmp_path, "gw1"), "--meter", "gw1")
    done = netledger("import", log(tmp_path, "gw2"), "--meter", "gw2", "--node", "gw1", "--store", store)
    assert f"contested   {ADDRESS}: another log has another user at the same time." in done.stdout
    before = Assignments(store, TestClock(START_NS)).facts()
    for node in ("gw1", "gw2"):
        assert imported(store, log(tmp_path, node), "--meter", node)["known_lines"] == 10
    assert Assignments(store, TestClock(START_NS)).facts() == before
