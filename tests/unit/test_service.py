"""The files of the service: what systemd makes of them, and that nothing of yours is lost when they are installed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.config import load
from netledger.service.install import CONFIG, COUNTERS_UNIT, UNIT, USERS, Installed, InstallError, install

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "install-as-a-service.md"
EXPOSURE_MAX = 1.6
EXPOSURE_AT_BOOT_MAX = 1.5
# The version of Debian 12, whose words are on the page.
DOCUMENTED_SYSTEMD = 252
OVERALL = re.compile(r"Overall exposure level for netledger\.service: ([0-9.]+)")


def names(found: list[Installed]) -> dict[str, str]:
    return {one.path.name: one.done for one in found}


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, installed for a program that exists."""
    install(tmp_path, program=Path(shutil.which("true") or "/bin/true"))
    return tmp_path / UNIT.relative_to("/")


def analyzed(*arguments: str) -> str:
    """What systemd-analyze prints, both streams; it must succeed."""
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def systemd_version() -> int:
    found = re.search(r"^systemd (\d+)", analyzed("--version"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_what_is_installed_is_there_for_everybody_to_read(tmp_path: Path) -> None:
    found = install(tmp_path, program=Path("/usr/local/bin/netledger"))
    files = ("netledger.service", "netledger-counters.service", "netledger.conf", "netledger.toml")
    assert names(found) == dict.fromkeys(files, "written")
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == {
        Path(place.relative_to("/")) for place in (UNIT, COUNTERS_UNIT, USERS, CONFIG)
    }
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
    unit = (tmp_path / UNIT.relative_to("/")).read_text()
    assert "ExecStart=/usr/local/bin/netledger run --config /etc/netledger/netledger.toml\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("@privileged", "")


def test_an_upgrade_replaces_what_is_ours_and_keeps_a_configuration_that_is_there(tmp_path: Path) -> None:
    install(tmp_path, program=Path("/usr/bin/netledger"))
    config = tmp_path / CONFIG.relative_to("/")
    config.write_text('node = "mine"\n')
    drop_in = (tmp_path / UNIT.relative_to("/")).with_name("netledger.service.d") / "mine.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nNice=-5\n")
    found = install(tmp_path, program=Path("/opt/netledger/bin/netledger"))
    replaced = dict.fromkeys(("netledger.service", "netledger-counters.service"), "replaced")
    assert names(found) == {**replaced, "netledger.conf": "unchanged", "netledger.toml": "kept"}
    assert config.read_text() == 'node = "mine"\n'
    assert drop_in.exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_configuration_to_begin_with_is_a_good_one_that_sets_one_meter(tmp_path: Path) -> None:
    install(tmp_path, program=Path("/usr/bin/netledger"))
    config = load(tmp_path / CONFIG.relative_to("/"))
    assert list(config.meters) == ["all"]
    assert config.store == "/var/lib/netledger"


def test_what_is_commented_out_in_it_can_be_taken_as_it_is(tmp_path: Path) -> None:
    install(tmp_path, program=Path("/usr/bin/netledger"))
    file = tmp_path / CONFIG.relative_to("/")
    file.write_text(re.sub(r"^#(?=\w+ = )", "", file.read_text(), flags=re.MULTILINE))
    config = load(file)
    assert config.node == "gw1"
    assert config.meters["all"].interfaces == ("eth1", "ppp*")


@pytest.mark.parametrize("name", ["relative/netledger", "/opt/my programs/netledger", "/opt/50%/netledger"])
def test_a_program_that_a_unit_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InstallError, match="no path that a unit can hold"):
        install(tmp_path, program=Path(name))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "usr").write_text("in the way")
    with pytest.raises(InstallError, match=r"usr: write: file exists"):
        install(tmp_path, program=Path("/usr/bin/netledger"))


def test_the_command_says_what_it_did_and_what_is_next(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("netledger")
    done = subprocess.run(
        [program, "service", "install", "--root", tmp_path], check=True, capture_output=True, text=True, timeout=120
    )
    assert f"written    {tmp_path / UNIT.relative_to('/')}\n" in done.stdout
    assert "systemctl enable --now netledger" in done.stdout
    assert f"ExecStart={program} run" in (tmp_path / UNIT.relative_to("/")).read_text()


@pytest.mark.peers("systemd-analyze")
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    assert analyzed("verify", "--man=no", str(unit)) == ""


@pytest.mark.peers("systemd-analyze")
def test_systemd_has_nothing_to_say_against_the_unit_for_boot(unit: Path) -> None:
    counters = unit.with_name(COUNTERS_UNIT.name)
    assert analyzed("verify", "--man=no", str(counters)) == ""
    exposure = re.search(
        r"Overall exposure level for \S+: ([0-9.]+)", analyzed("security", "--offline=true", str(counters))
    )
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE_AT_BOOT_MAX


def test_the_counters_are_made_before_any_firewall_is_loaded(unit: Path) -> None:
    lines = unit.with_name(COUNTERS_UNIT.name).read_text().splitlines()
    before = {name for line in lines if line.startswith("Before=") for name in line.removeprefix("Before=").split()}
    assert {"nftables.service", "netfilter-persistent.service", "iptables.service", "network-pre.target"} <= before
    starts = [line.partition(" ")[2] for line in lines if line.startswith("ExecStart=")]
    config = "--config /etc/netledger/netledger.toml"
    assert starts == [f"counters restore {config}", f"quota restore {config}"]
    assert "WantedBy=sysinit.target" in lines


@pytest.mark.peers("systemd-analyze")
def test_systemd_notices_a_slip_in_the_unit(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyzed("verify", "--man=no", str(unit))


@pytest.mark.peers("systemd-analyze")
def test_the_service_is_exposed_no_more_than_the_page_says(unit: Path) -> None:
    lines = analyzed("security", "--offline=true", str(unit)).splitlines()
    found = OVERALL.search("\n".join(lines))
    assert found is not None
    assert float(found[1]) <= EXPOSURE_MAX
    page = PAGE.read_text(encoding="utf-8")
    shown = OVERALL.search(page)
    assert shown is not None
    if systemd_version() == DOCUMENTED_SYSTEMD:
        assert shown[1] == found[1]
        left = [" ".join(line.split()) for line in lines if line.startswith("✗")]
        assert left == [" ".join(line.split()) for line in page.splitlines() if line.startswith("✗")]


@pytest.mark.peers("systemd-sysusers")
def test_systemd_makes_the_user_of_the_unit(tmp_path: Path) -> None:
    install(tmp_path, program=Path("/usr/bin/netledger"))
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], check=True, capture_output=True, timeout=120)
    assert "netledger:x:" in (tmp_path / "etc" / "passwd").read_text()
    assert "/var/lib/netledger:" in (tmp_path / "etc" / "passwd").read_text()
    assert "netledger:x:" in (tmp_path / "etc" / "group").read_text()
