"""The scripts for pppd, run as pppd and Debian's /etc/ppp/ip-up run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_cli_main import netledger

ROOT = Path(__file__).parents[2]
UP = ROOT / "contrib" / "ppp" / "ip-up.d" / "netledger"
DOWN = ROOT / "contrib" / "ppp" / "ip-down.d" / "netledger"
ARGUMENTS = ("ppp0", "/dev/ttyS1", "115200", "192.0.2.1", "192.0.2.7", "")
PPPD = {"DEVICE": "/dev/ttyS1", "IFNAME": "ppp0", "IPLOCAL": "192.0.2.1", "IPREMOTE": "192.0.2.7", "SPEED": "115200"}
DEBIAN = {"PPP_IFACE": "ppp0", "PPP_TTY": "/dev/ttyS1", "PPP_LOCAL": "192.0.2.1", "PPP_REMOTE": "192.0.2.7"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "netledger.toml"
    path.write_text(f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n')
    program = tmp_path / "netledger"
    # Behind `--` an option would be an argument, so it is put in front.
    program.write_text(f'#!/bin/sh\nword=$1; shift\nexec {sys.executable} -m netledger "$word" --config {path} "$@"\n')
    program.chmod(0o755)
    return path


def call(script: Path, config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "PATH": f"{config.parent}:/usr/sbin:/sbin:/usr/bin:/bin",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    } | environment
    return subprocess.run(
        [str(script), *arguments], env=settings, cwd="/", capture_output=True, text=True, timeout=120, check=False
    )


def standing(config: Path) -> list[tuple[str, str, bool]]:
    told = json.loads(netledger("assignments", "list", "--json", "--config", config).stdout)
    return [(one["target"], one["subject"], one["valid_to"] is None) for one in told]


def test_who_has_logged_in_has_the_address_until_the_line_goes_down(config: Path) -> None:
    assert call(UP, config, *ARGUMENTS, **PPPD, PEERNAME="alice").returncode == 0
    assert standing(config) == [("192.0.2.7", "alice", True)]
    assert call(DOWN, config, *ARGUMENTS, **PPPD, PEERNAME="alice", CONNECT_TIME="7", BYTES_SENT="1").returncode == 0
    assert standing(config) == [("192.0.2.7", "alice", False)]


def test_a_line_that_goes_down_late_does_not_end_what_the_next_user_has(config: Path) -> None:
    for user in ("alice", "bob"):
        assert call(UP, config, *ARGUMENTS, **PPPD, PEERNAME=user).returncode == 0
    assert call(DOWN, config, *ARGUMENTS, **PPPD, PEERNAME="alice").returncode == 0
    assert standing(config) == [("192.0.2.7", "alice", False), ("192.0.2.7", "bob", True)]


def test_the_arguments_and_what_debian_adds_are_enough(config: Path) -> None:
    assert call(UP, config, *ARGUMENTS[:5], "carol").returncode == 0
    assert call(UP, config, **DEBIAN, PEERNAME="dave").returncode == 0
    assert [one[1] for one in standing(config)] == ["carol", "dave"]


@pytest.mark.parametrize("script", [UP, DOWN])
def test_without_an_address_or_a_name_nothing_is_done(config: Path, script: Path) -> None:
    for arguments, environment in (((), {}), (ARGUMENTS, {}), (("ppp0",), {"PEERNAME": "alice"})):
        assert call(script, config, *arguments, **environment).returncode == 0
    assert standing(config) == []


@pytest.mark.parametrize(
    ("name", "booked"),
    [
        ("Unknown", "user:Unknown"),
        ("\uff2f\uff54\uff48\uff45\uff52", "user:\uff2f\uff54\uff48\uff45\uff52"),
        ("J\u00f6rg", "J\u00f6rg"),
        ("--help", "--help"),
        ("$(touch x); `id` 'q' \"d\" *", "$(touch x); `id` 'q' \"d\" *"),
    ],
)
def test_a_name_is_a_name_whatever_it_looks_like(config: Path, name: str, booked: str) -> None:
    assert call(UP, config, *ARGUMENTS, **PPPD, PEERNAME=name).returncode == 0
    assert standing(config) == [("192.0.2.7", booked, True)]
    assert call(DOWN, config, *ARGUMENTS, **PPPD, PEERNAME=name).returncode == 0
    assert standing(config) == [("192.0.2.7", booked, False)]


def test_what_is_refused_is_told(config: Path) -> None:
    done = call(UP, config, *ARGUMENTS, **PPPD, PEERNAME="a\x1b[2Jb")
    assert done.returncode == 1
    assert "192.0.2.7 is not booked to" in done.stderr
    assert standing(config) == []


@pytest.mark.parametrize("environment", [{}, {"PEERNAME": "a\x1b[2Jb"}])
def test_an_address_that_goes_to_nobody_is_not_the_one_s_before_whose_line_never_went_down(
    config: Path, environment: dict[str, str]
) -> None:
    assert call(UP, config, *ARGUMENTS, **PPPD, PEERNAME="alice").returncode == 0
    call(UP, config, *ARGUMENTS, **PPPD, **environment)
    assert standing(config) == [("192.0.2.7", "alice", False)]


@pytest.mark.parametrize("script", [UP, DOWN])
def test_run_parts_would_run_it(script: Path) -> None:
    assert script.name.isalnum()
    assert script.stat().st_mode & 0o111 == 0o111
