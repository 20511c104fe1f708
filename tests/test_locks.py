"""What is installed is pinned, hashed, and comes from wherever the machine's pip is told to look."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / "requirements" / name for name in ("runtime.lock", "dev.lock")]
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
ADDRESS = re.compile(r"https?://|file:|--(?:extra-)?index-url|--find-links|--trusted-host|^-[if]\b", re.MULTILINE)


def _pins(path: Path) -> dict[str, str]:
    return {found["name"]: found["version"] for found in PIN.finditer(path.read_text())}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    assert ADDRESS.findall(lock.read_text()) == []


@pytest.mark.parametrize(
    "line", ["--index-url https://a/simple", "--find-links /opt/wheels", "-f wheels", "a @ file:b"]
)
def test_an_address_would_be_found(line: str) -> None:
    assert ADDRESS.search(f"rich==15.0.0\n{line}\n")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_its_hashes(lock: Path) -> None:
    blocks = re.split(r"^(?=[a-z0-9-]+==)", lock.read_text(), flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_both_locks_agree() -> None:
    runtime, dev = (_pins(lock) for lock in LOCKS)
    assert runtime.items() <= dev.items()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[<>=~! ]", dependency, maxsplit=1)[0] for dependency in project["dependencies"]}
    assert asked == set(_pins(ROOT / "requirements" / "runtime.in"))
    assert asked <= set(_pins(LOCKS[0]))


def test_what_is_asked_for_is_what_is_locked() -> None:
    dev = _pins(LOCKS[1])
    for name in ("runtime.in", "dev.in"):
        for package, version in _pins(ROOT / "requirements" / name).items():
            assert dev[package] == version
