"""``netledger status``: what it prints for whom, and with which exit code."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from netledger.daemon.answers import Answers
from netledger.daemon.choice import Chosen
from netledger.daemon.status_server import StatusServer
from netledger.live import AttributionStatus
from netledger.pipeline.problems import Trouble
from netledger.receipt import Count, rfc3339
from netledger.reports.status import print_status, shown
from tests.unit.house import House, built
from tests.unit.memory_source import STILL
from tests.unit.rows import RECEIPT, SECOND_NS, wait_until
from tests.unit.store import filled
from tests.unit.test_cli_main import netledger

ENVIRONMENT = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = built(tmp_path)
    house.clock.advance(72 * SECOND_NS)
    house.source.seen = replace(STILL, rows=1204, received=Count(864_000, 691_200_000))
    return house


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "netledger.toml"
    path.write_text(f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n[meters.lan]\n')
    return path


@contextmanager
def served(house: House) -> Iterator[StatusServer]:
    server = StatusServer(house.runtime, Answers(house.board))
    server.open()
    yield server
    server.close()


def test_what_auto_came_to_is_told_with_what_it_would_take_to_do_better(house: House, config: Path) -> None:
    why = "bpf cannot be used: bpf: load: operation not permitted"
    house.meter.chosen = Chosen("nflog", why, "give it CAP_BPF")
    with served(house):
        done, told = netledger("status", "--config", config), netledger("status", "--json", "--config", config)
    assert f"\nlan is counted by nflog: {why}\n  for bpf: give it CAP_BPF\n" in done.stdout
    (meter,) = json.loads(told.stdout)["meters"]
    assert (meter["source"], meter["source_why"], meter["source_better"]) == ("nflog", why, "give it CAP_BPF")


def test_all_is_well(house: House, config: Path) -> None:
    house.board.committed(RECEIPT)
    with served(house):
        done = netledger("status", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    head, places, _, names, meter, _, verdict = (" ".join(line.split()) for line in done.stdout.splitlines())
    assert head.endswith(f"on gw1, pid {os.getpid()}, runs for 1 min 12 s")
    assert places == f"store {house.board.config.store}, runtime {house.runtime}"
    assert names == "meter open rows packets/s bytes/s lost waiting last commit"
    assert meter == "lan 1 min 12 s of 5 min 1,204 of 1,000 12,000 9.600 MB 0 0 12 exact, 0 s ago"
    assert verdict == "all is well"
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())


def test_what_is_wrong_stands_beneath_with_its_hint(house: House, config: Path) -> None:
    house.problems.note(Trouble.STORE, "disk full", meter="lan", hint="free some space")
    house.problems.note(Trouble.EXPORT, "odd [bold]name[/bold]", export="csv")
    house.clock.advance(5 * SECOND_NS)
    with served(house):
        done = netledger("status", "--config", config)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines()[-3:] == [
        "export_failing, export csv, for 5 s: odd [bold]name[/bold]",
        "store_not_written, meter lan, for 5 s: disk full; 0 intervals wait",
        "  hint: free some space",
    ]
    assert "all is well" not in done.stdout


def test_json_is_what_the_socket_says(house: House, config: Path) -> None:
    with served(house):
        done = netledger("status", "--config", config, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["is_running"], told["node"], told["problems"]) == (True, "gw1", [])
    assert (told["meters"][0]["rows"], told["meters"][0]["packets_per_second"]) == (1204, 12_000)


def test_a_source_that_says_nothing_has_dashes(house: House, config: Path) -> None:
    house.board.closed("lan")
    with served(house):
        done = netledger("status", "--config", config)
    assert "meter" not in done.stdout
    assert "all is well" in done.stdout


def test_where_none_runs_it_says_what_lies_there(config: Path, tmp_path: Path) -> None:
    filled(tmp_path / "store", 3)
    (tmp_path / "run" / "lan").mkdir(parents=True)
    (tmp_path / "run" / "lan" / "gen-00000004.json").touch()
    done = netledger("status", "--config", config)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == "meter lan: 1 generation in the runtime directory, committed at the next start"
    assert second.startswith("meter lan: last commit 3 exact, ends 2025-11-20T10:15:00Z, in ")
    assert f"status: no netledger runs here ({tmp_path}/run)\nhint: start it" in done.stderr
    told = json.loads(netledger("status", "--config", config, "--json").stdout)
    assert (told["is_running"], told["generations"]) == (False, {"lan": 1})
    assert (told["last_commits"]["lan"]["seq"], told["last_commits"]["lan"]["status"]) == (3, "exact")
    (tmp_path / "store" / "ledger.sqlite").write_text("no ledger " * 1000)
    damaged = netledger("status", "--config", config)
    assert (damaged.returncode, "store: " in damaged.stdout) == (1, True)


def test_seconds_are_for_watch_only(config: Path) -> None:
    done = netledger("status", "5", "--config", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "only with --watch" in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_watching_in_a_pipe_prints_one_after_the_other_also_without_a_daemon(
    house: House, config: Path, options: list[str]
) -> None:
    argv = [sys.executable, "-m", "netledger", "status", "--watch", "0.1", "--config", str(config), *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as child:
        assert child.stdout is not None
        well, gone = ("all is well", "no netledger runs") if not options else ('"problems": []', '"is_running": false')
        with served(house):
            for _ in range(2):
                assert any(well in line for line in child.stdout)
        assert any(gone in line for line in child.stdout)
        with served(house):
            assert any(well in line for line in child.stdout)
        child.send_signal(signal.SIGINT)
        assert child.wait(90) == 130


def test_watching_on_a_terminal_draws_in_one_place(house: House, config: Path) -> None:
    argv = [sys.executable, "-m", "netledger", "status", "--watch", "0.1", "--config", str(config)]
    main, terminal = pty.openpty()
    seen = bytearray()

    def shows(words: bytes, times: int = 1) -> bool:
        seen.extend(os.read(main, 4096))
        return seen.count(words) >= times

    environment = ENVIRONMENT | {"TERM": "xterm"}
    with served(house), subprocess.Popen(argv, stdout=terminal, stderr=terminal, env=environment) as child:
        os.close(terminal)
        wait_until(lambda: shows(b"all is well", 3), "pictures")
        house.problems.note(Trouble.STORE, "disk full", meter="lan")
        wait_until(lambda: shows(b"disk full"), "another picture")
        child.send_signal(signal.SIGINT)
        assert child.wait(90) == 130
    os.close(main)
    # The cursor goes up to the first line, and no picture is cleared away before the next one.
    assert b"\x1b[1A" in seen
    assert b"\x1b[2J" not in seen


@pytest.mark.parametrize("width", [60, 80, 100])
def test_in_a_narrow_terminal_no_number_is_broken(house: House, width: int) -> None:
    house.source.seen = replace(STILL, rows=123_456, received=Count(864_000, 691_200_000))
    house.board.committed(RECEIPT)
    status = house.board.status()
    narrow = Console(file=io.StringIO(), width=width)
    with narrow.capture() as captured:
        narrow.print(shown(status, width))
    told = captured.get().splitlines()
    (row,) = (line for line in told if line.startswith("lan "))
    assert "123,456" in row
    assert max(map(len, told)) <= width
    assert "12 exact, " in (row if width == 100 else told[told.index(row) + 1])


def test_what_sources_of_attribution_refused_is_told_with_its_reasons(house: House) -> None:
    reasons = {"this is no RADIUS request": 2, "bad authenticator: its secret is another one": 1200}
    one = AttributionStatus(
        name="isp",
        source="radius",
        state="following",
        since=rfc3339(house.clock.now().wall_ns),
        facts=0,
        last_learnt=None,
        refused=1202,
        why=None,
        hint=None,
        refused_reasons=reasons,
    )
    told = io.StringIO()
    quiet = replace(one, name="lan", refused=0, refused_reasons={})
    print_status(replace(house.board.status(), attribution=(one, quiet)), told)
    lines = told.getvalue().splitlines()
    assert lines[-4:] == [
        "isp refused 1,200: bad authenticator: its secret is another one",
        "isp refused 2: this is no RADIUS request",
        "",
        "all is well",
    ]
