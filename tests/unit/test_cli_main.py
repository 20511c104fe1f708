"""The command line: what it prints, where, and with which exit code."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from netledger import __version__, errors
from netledger.cli import main as cli
from netledger.config import DEFAULT_PATH
from netledger.daemon.runtime import RuntimeLock

HEAVY = {"pyarrow", "pydantic", "rich", "netledger._core"}


def netledger(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netledger", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"} | (environment or {}),
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "netledger.toml"
    path.write_text(
        f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n[meters.lan]\n[meters.wan]\n'
    )
    return path


def test_the_version_is_that_of_the_package() -> None:
    done = netledger("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"netledger {__version__}\n", "")


def test_the_version_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['netledger', '--version']\n"
        "from netledger.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]


def test_the_daemon_does_not_load_what_only_a_commit_needs() -> None:
    code = "import sys, netledger.daemon.build; print('pyarrow' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_help_names_the_commands() -> None:
    done = netledger("--help")
    assert done.returncode == 0
    for name in ("run", "read", "config", "compat"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("words", [[], ["run"], ["read"], ["config", "check"], ["config", "show"], ["compat"]])
def test_help_is_short_too_and_knows_no_types_of_python(words: list[str]) -> None:
    done = netledger(*words, "-h")
    assert done.returncode == 0
    assert done.stdout == netledger(*words, "--help").stdout
    assert [name for name in ("<bool>", "<int", "<str>") if name in done.stdout] == []


def test_a_good_configuration_is_called_ok(config: Path) -> None:
    done = netledger("config", "check", "--config", config)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{config}: ok, 2 meters\n", "")


def test_only_one_configuration_is_taken(config: Path) -> None:
    done = netledger("config", "check", config, "--config", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"netledger: {config}, --config {config}: only one file at a time\n"


@pytest.mark.skipif(DEFAULT_PATH.exists(), reason="this machine has a configuration")
def test_without_a_file_the_defaults_hold() -> None:
    done = netledger("config", "check")
    assert (done.returncode, done.stdout) == (0, f"{DEFAULT_PATH}: not there, so the defaults hold, 1 meter\n")


def test_mistakes_begin_with_their_place_and_end_with_2(config: Path) -> None:
    config.write_text('interval = "7m"\n\nnodee = 1\n')
    commands = [[*words, "--config"] for words in (["config", "check"], ["config", "show"], ["run"])]
    for command in (*commands, ["config", "check"], ["config", "show"]):
        done = netledger(*command, config)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f'{config}:1: interval: 7 minutes do not divide a day\nhint: "6m" or "8m" would\n'
            f"{config}:3: nodee: unknown key\nhint: did you mean node?\n"
        )


def test_mistakes_are_objects_for_programs(config: Path) -> None:
    done = netledger("config", "check", "--json", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"file": str(config), "meters": 2, "problems": []}
    config.write_text('interval = "7m"\n[meters.lan]\nlocal = ["x"]\n')
    done = netledger("config", "check", config, "--json")
    assert (done.returncode, done.stderr) == (2, "")
    answer = json.loads(done.stdout)
    assert (answer["file"], answer["meters"]) == (str(config), None)
    first, second = answer["problems"]
    assert first == {
        "file": str(config), "line": 1, "key": "interval", "problem": "7 minutes do not divide a day",
        "hint": '"6m" or "8m" would',
    }  # fmt: skip
    assert (second["line"], second["key"]) == (3, "meters.lan.local[0]")


def test_what_is_in_effect_is_shown_as_toml_and_as_json(config: Path, tmp_path: Path) -> None:
    shown = tomllib.loads(netledger("config", "show", "--config", config, "--store", "/srv/x").stdout)
    assert (shown["node"], shown["store"], list(shown["meters"])) == ("gw1", "/srv/x", ["lan", "wan"])
    told = json.loads(netledger("config", "show", "--config", config, "--json").stdout)
    assert told == shown | {"store": f"{tmp_path}/store"}


@pytest.mark.parametrize("arguments", [["--nothing"], ["nothing"], ["run", "--nothing"], ["compat", "nothing"]])
def test_a_command_line_that_is_not_understood_ends_with_2(arguments: list[str]) -> None:
    done = netledger(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing" in done.stderr


def test_the_arguments_of_an_old_command_arrive_as_they_are() -> None:
    # Typer would take --help for itself, and swallow the two dashes.
    done = netledger("compat", "go-nflog-acctd", "-nonsense", "--", "--help")
    assert done.returncode == 2
    assert "flag provided but not defined: -nonsense" in done.stderr


def test_a_failed_start_is_a_line_of_the_log_and_one_for_people_with_a_hint(config: Path, tmp_path: Path) -> None:
    lock = RuntimeLock(tmp_path / "run")
    lock.open()
    done = netledger("run", "--config", config)
    lock.close()
    assert (done.returncode, done.stdout) == (1, "")
    # Before it: what it may do, which depends on who runs this test.
    privileges, rest = done.stderr.split("\n", 1)
    assert privileges.startswith("level=info event=privileges kept=")
    assert rest == (
        f'level=error event=start_failed error="{tmp_path}/run: lock: in use by pid {os.getpid()}" '
        'hint="stop it, or set another runtime directory"\n'
        f"netledger: {tmp_path}/run: lock: in use by pid {os.getpid()}\n"
        "hint: stop it, or set another runtime directory\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.UsageError("--top", "", "no number"), 2, "netledger: --top: no number\n"),
        (errors.CaptureError("a", "open", "no such file", "look"), 1, "netledger: a: open: no such file\nhint: look\n"),
        (KeyboardInterrupt(), 128 + signal.SIGINT, ""),
    ],
)  # fmt: skip
def test_an_error_becomes_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["netledger", "run"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("command", "is_ignored"), [("run", True), ("read", False)])
def test_signals_of_the_daemon_do_not_kill_it_while_it_is_loaded(command: str, is_ignored: bool) -> None:
    code = (
        f"import sys; sys.argv = ['netledger', {command!r}]\n"
        "import netledger.cli, signal\n"
        "ignored = [signal.getsignal(one) is signal.SIG_IGN for one in (signal.SIGHUP, signal.SIGUSR1)]\n"
        "print(*ignored, 'typer' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.split() == [str(is_ignored), str(is_ignored), "False"]


def test_an_option_in_front_of_a_command_of_counters_is_refused() -> None:
    done = netledger("counters", "--json", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("netledger: --json: options of list stand behind it\nhint: netledger counters list -")
