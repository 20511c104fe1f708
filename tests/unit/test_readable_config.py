"""A refused file still says where things are; and where that is not certain, nothing is guessed."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from netledger.config import ConfigError
from netledger.config.readable import read
from netledger.intervals import SystemClock
from netledger.ledger.assignments import Assignments
from tests.unit.rows import wait_until
from tests.unit.test_cli_main import netledger
from tests.unit.test_daemon import Run

TOP = 'node = "gw1"\nstore = "/srv/a"\nruntime = "/run/a"\n'
BOTH = ("store", "runtime")


def places(tmp_path: Path, text: str | bytes, needed: Sequence[str] = BOTH) -> tuple[str, str, list[str]]:
    path = tmp_path / "netledger.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = read(path, needed=needed)
    assert found.refused is not None
    return found.config.store, found.config.runtime, list(found.config.meters)


@pytest.mark.parametrize(
    "text",
    [
        f'{TOP}interval = "7m"\n',
        f"{TOP}interval = 5m\n",
        f"interval = 5m\n{TOP}",
        f"{TOP}\n[meters.lan\n",
        f'{TOP}[meters.lan]\nlocal = ["10.0.0.0/8"\n[meters.wan]\n',
        f'{TOP}[meters.lan]\nkey = ["host]\n',
        f"{TOP}[attribution.isp]\nsource = 'radio'\n",
        f"{TOP}[exports.csv]\n",
        f"{TOP}intervall = '5m'\n",
        TOP.encode() + b'# caf\xe9\nwhere = "\xe9"\n',
        f"{TOP}[ledger]\nkeep_rollups = '9d'\n",
        f'{TOP}[meters]\n[meters.lan]\n[meters.lan]\nstore = "/elsewhere"\n',
    ],
)
def test_a_mistake_elsewhere_hides_no_directory(tmp_path: Path, text: str | bytes) -> None:
    assert places(tmp_path, text)[:2] == ("/srv/a", "/run/a")


def test_tables_without_a_mistake_stay(tmp_path: Path) -> None:
    wrong = f'{TOP}[meters.lan]\nkey = ["host", "haste"]\n[meters.wan]\n[meters.dmz]\nrows_max = "1"\n'
    assert places(tmp_path, wrong)[2] == ["wan"]


def test_no_meter_is_made_up_where_none_can_be_read(tmp_path: Path) -> None:
    assert places(tmp_path, f"{TOP}[meters.lan]\nlokal = []\n")[2] == []
    assert places(tmp_path, f"{TOP}[meters.lan\n")[2] == []


def test_directories_that_nobody_sets_are_those_of_always(tmp_path: Path) -> None:
    text = '# store = "/srv/old"\nnode = "gw1"\n[meters.lan]\nlokal = []\n'
    assert places(tmp_path, text)[:2] == ("/var/lib/netledger", "/run/netledger")


@pytest.mark.parametrize(
    "text",
    [
        'store = /srv/a\nruntime = "/run/a"\n',
        'store = "/srv/a\nruntime = "/run/a"\n',
        'store = "srv/a"\nruntime = "/run/a"\n',
        'sotre = "/srv/a"\nruntime = "/run/a"\n',
        'directory = "/srv/a"\nruntime = "/run/a"\n',
        'runtime = "/run/a"\n[meters.lan]\nstore = "/srv/a"\n',
        'runtime = "/run/a"\n[ledger]\n"store" = "/srv/a"\nkeep_detail = 9\n[meters.lan\n',
        'sotre = /srv/a\nruntime = "/run/a"\n',
        'store = """/srv/a\nruntime = "/run/a"\n',
        'node = ["gw1"\nstore = "/srv/a"\nruntime = "/run/a"\n[meters.lan]\n',
        b'store = "/srv/caf\xe9"\nruntime = "/run/a"\n',
        b'# \xe9\nstore = 5\nruntime = "/run/a"\n',
        f'{TOP}store = "/srv/b"\n'.replace('store = "/srv/a"', "store = [1"),
    ],
)
def test_a_directory_that_is_not_certain_is_not_guessed(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ConfigError):
        places(tmp_path, text)


def test_who_needs_no_store_is_not_kept_by_it(tmp_path: Path) -> None:
    assert places(tmp_path, 'store = 5\nruntime = "/run/a"\n', ("runtime",))[1] == "/run/a"


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "gone.toml", needed=())
    with pytest.raises(ConfigError, match="is a directory"):
        read(tmp_path, needed=())


def test_a_hook_loses_nothing_while_somebody_edits_the_file(tmp_path: Path) -> None:
    run = Run(tmp_path, text='interval = "1d"\n[meters.lan]\ncut_on_assignment = true\n')
    config = tmp_path / "netledger.toml"
    config.write_text(
        f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n[meters.lan]\nlokal = 5\n'
    )
    warning = (
        f"{config}:5: meters.lan.lokal: unknown key\nhint: did you mean local?\n"
        f"netledger: this file is refused; this goes by store = {tmp_path}/store"
    )
    also = f" and runtime = {tmp_path}/run"
    told: list[tuple[list[str], int, str, str]] = []

    def said(*words: str) -> str:
        done = netledger(*words, "--config", config)
        told.append(([*words], done.returncode, done.stderr, done.stdout))
        return done.stdout

    def meanwhile() -> None:
        wait_until((tmp_path / "run" / "netledger.sock").exists, "socket")
        said("assign", "10.0.0.2", "alice")
        said("unassign", "10.0.0.2", "--subject", "alice")
        said("assign", "ppp0", "bob")
        assert json.loads(said("status", "--json"))["is_running"]
        said("assignments", "list", "--csv")
        said("report", "--csv")
        said("subjects", "--csv")
        said("audit")
        said("files")

    assert run(meanwhile) == 0
    subjects = [fact.subject for fact in Assignments(tmp_path / "store", SystemClock()).facts()]
    assert subjects == ["alice", None, "bob"]
    # What a table with a mistake would say of meters is not missed aloud.
    assert [(words[0], status, error) for words, status, error, _ in told[:3]] == [
        (word, 0, f"{warning}{also} all the same\n") for word in ("assign", "unassign", "assign")
    ]
    assert told[3][2] == f"{warning}{also} all the same\n".replace(also, "").replace(
        f"store = {tmp_path}/store", f"runtime = {tmp_path}/run and store = {tmp_path}/store"
    )
    assert [error.splitlines()[:3] for _, _, error, _ in told[4:]] == [f"{warning} all the same".splitlines()] * 5


def test_a_table_of_facts_is_imported_and_what_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    config, table = tmp_path / "netledger.toml", tmp_path / "who.csv"
    config.write_text(f'store = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\ninterval = 5m\n')
    table.write_text("10.0.0.2,alice\n")
    assert netledger("assignments", "import", table, "--config", config).returncode == 0
    assert len(Assignments(tmp_path / "store", SystemClock()).facts()) == 1
    for words in (["run"], ["maintain"], ["config", "check"], ["config", "show"]):
        done = netledger(*words, "--config", config)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith(f"{config}:3: ")


def test_a_store_on_the_command_line_needs_none_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "netledger.toml"
    config.write_text(f'store = 5\nruntime = "{tmp_path}/run"\n')
    assert netledger("assign", "10.0.0.2", "alice", "--config", config).returncode == 2
    words = ("--config", str(config), "--store", f"{tmp_path}{os.sep}store")
    assert netledger("assign", "10.0.0.2", "alice", *words).returncode == 0
    assert len(Assignments(tmp_path / "store", SystemClock()).facts()) == 1
