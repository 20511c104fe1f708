"""Sources that the configuration follows no more: what they claim is told, and can be ended."""

import json
import os
import signal
from pathlib import Path

import pytest

from netledger.attribution.facts import Fact, Target
from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger.assignments import Assignments, begin
from netledger.live.shape import SOCKET
from tests.unit.rows import wait_until
from tests.unit.test_cli_main import netledger
from tests.unit.test_daemon import Run

AGO_NS = 3600 * SECOND_NS


@pytest.fixture
def book(tmp_path: Path) -> Assignments:
    clock = SystemClock()
    store = tmp_path / "store"
    begin(store, clock)
    made = Assignments(store, clock)
    start_ns = clock.now().wall_ns - AGO_NS
    made.add(
        [
            Fact(target=Target.parse(target), valid_from_ns=start_ns, subject="alice", source=source)
            for source, target in (
                ("old", "10.0.0.2"),
                ("old", "10.0.0.3"),
                ("new", "10.0.0.4"),
                ("assign", "10.0.0.5"),
            )
        ]
    )
    ended_ns = start_ns + 60 * SECOND_NS
    over = Fact(
        target=Target.parse("10.0.0.9"),
        valid_from_ns=start_ns,
        valid_to_ns=ended_ns,
        subject="alice",
        source="over",
    )
    made.add([over])
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "netledger.toml"
    path.write_text(
        f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n'
        f'[attribution.new]\nsource = "directory"\npath = "{tmp_path}/ip"\n'
    )
    return path


def lasting(book: Assignments, source: str) -> list[str]:
    return [str(one.target) for one in book.open_claims(source)]


def test_what_nobody_follows_any_more_can_be_ended_and_what_was_stays(config: Path, book: Assignments) -> None:
    done = netledger("assignments", "end", "old", "--config", config)
    assert (done.returncode, done.stdout.startswith("2 claims end at ")) == (0, True)
    assert (lasting(book, "old"), lasting(book, "new"), lasting(book, "assign")) == ([], ["10.0.0.4"], ["10.0.0.5"])
    facts = book.facts(source="old")
    assert [one.subject for one in facts] == ["alice", "alice", None, None]
    assert {one.valid_to_ns for one in facts} == {None}
    assert all(two.valid_from_ns - one.valid_from_ns >= AGO_NS for one, two in zip(facts[:2], facts[2:], strict=True))
    again = netledger("assignments", "end", "old", "--config", config)
    assert again.stdout == "old claims nothing of then and later; nothing was changed\n"


def test_from_when_on_can_be_said(config: Path, book: Assignments) -> None:
    done = netledger(
        "assignments", "end", "old", "--from", "2026-01-01", "--json", "--timezone", "UTC", "--config", config
    )
    assert json.loads(done.stdout) == {"source": "old", "from": "2026-01-01T00:00:00Z", "claims": 2}
    told = netledger("assignments", "list", "--json", "--config", config)
    assert [one["target"] for one in json.loads(told.stdout)] == ["10.0.0.4", "10.0.0.5", "10.0.0.9"]


@pytest.mark.parametrize(
    ("source", "cause", "hint"),
    [
        ("assign", "this is what people said", "netledger unassign ADDRESS ends that"),
        (
            "new",
            "it is followed, and would say the same again",
            "take [attribution.new] out of the configuration first",
        ),
        ("odl", "nothing was ever learnt from it", "sources of facts that nobody follows: old, over"),
    ],
)
def test_what_others_would_say_again_is_not_ended(
    config: Path, book: Assignments, source: str, cause: str, hint: str
) -> None:
    done = netledger("assignments", "end", source, "--config", config)
    assert done.returncode == 2
    assert cause in done.stderr
    assert hint in done.stderr
    assert len(book.facts()) == 5


def test_who_unassigns_is_told_what_would_end_it(config: Path, book: Assignments) -> None:
    said = netledger("unassign", "10.0.0.2", "--config", config).stderr
    assert "note: old says that it is alice's, and goes on to\nhint: nobody follows old any more" in said
    said = netledger("unassign", "10.0.0.4", "--config", config).stderr
    assert said == "note: new says that it is alice's, and goes on to\n"
    assert lasting(book, "old") == ["10.0.0.2", "10.0.0.3"]


def test_the_daemon_tells_of_them_at_the_start_and_after_hup(
    tmp_path: Path, book: Assignments, caplog: pytest.LogCaptureFixture
) -> None:
    assert lasting(book, "old") == ["10.0.0.2", "10.0.0.3"]
    run = Run(tmp_path)
    before = run.text
    run.text += f'[attribution.new]\nsource = "directory"\npath = "{tmp_path}/ip"\n'

    def told() -> list[dict[str, object]]:
        return [vars(one)["fields"] for one in caplog.records if one.message == "claims_of_no_source"]

    def meanwhile() -> None:
        wait_until((tmp_path / "run" / SOCKET).exists, "socket")
        wait_until(lambda: bool(told()), "claims of old")
        assert [(one["source"], one["claims"]) for one in told()] == [("old", 2)]
        run.text = before
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: "new" in {one["source"] for one in told()}, "claims of new")

    with caplog.at_level("WARNING"):
        assert run(meanwhile) == 0
    assert "netledger assignments end old" in str(told()[0]["hint"])
