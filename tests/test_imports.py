"""The rooms are stacked as drawn, two of them talk to the native core, and an offence is seen."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
LAYERS: list[str] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
ROOMS = [room.strip() for layer in LAYERS for room in layer.split("|")]
CORE_IMPORT = '"""A room."""\n\nfrom netledger._core import KeySpec\n\n__all__ = ["KeySpec"]\n'


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    arguments = [str(program), "--no-cache", "--no-logo", "--config", str(PYPROJECT)]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def _ruff(source: str, name: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("ruff")
    arguments = [str(program), "check", "--no-cache", "--output-format", "concise", "--stdin-filename", name, "-"]
    return subprocess.run(arguments, cwd=ROOT, input=source, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package with every room and nothing in them."""
    package = tmp_path / "netledger"
    package.mkdir()
    for name in ("__init__", *ROOMS):
        (package / f"{name}.py").write_text("")
    return package


def test_the_package_keeps_its_layers() -> None:
    answer = _lint_imports(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_empty_rooms_keep_the_layers(house: Path) -> None:
    answer = _lint_imports(house.parent)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [("errors", "schema"), ("sources", "exports"), ("exports", "sources"), ("pipeline", "daemon"), ("compat", "cli")],
)
def test_an_import_upward_or_sideways_is_caught(house: Path, importer: str, imported: str) -> None:
    (house / f"{importer}.py").write_text(f"import netledger.{imported}\n")
    answer = _lint_imports(house.parent)
    assert answer.returncode == 1
    assert f"netledger.{importer} -> netledger.{imported}" in answer.stdout


@pytest.mark.parametrize(("room", "module"), [("reports", "duckdb"), ("cli", "sqlite3")])
def test_only_the_ledger_knows_what_the_store_is_made_of(house: Path, room: str, module: str) -> None:
    (house / f"{room}.py").write_text(f"import {module}\n")
    answer = _lint_imports(house.parent)
    assert answer.returncode == 1
    assert f"netledger.{room} -> {module}" in answer.stdout


def test_no_room_is_forgotten_of_those_that_do_not_know_it() -> None:
    contract = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"][1]
    assert sorted(contract["source_modules"]) == sorted(f"netledger.{room}" for room in ROOMS if room != "ledger")


def test_the_ledger_may_know_what_the_store_is_made_of(house: Path) -> None:
    (house / "ledger.py").write_text("import duckdb\nimport sqlite3\n")
    answer = _lint_imports(house.parent)
    assert answer.returncode == 0, answer.stdout


def test_a_new_file_has_to_choose_its_floor(house: Path) -> None:
    (house / "attic.py").write_text("")
    answer = _lint_imports(house.parent)
    assert answer.returncode == 1
    assert "attic" in answer.stdout


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "sources"])
def test_the_native_core_is_banned_outside_of_sources(room: str) -> None:
    answer = _ruff(CORE_IMPORT, f"python/netledger/{room}/planted.py")
    assert answer.returncode == 1
    assert "TID251" in answer.stdout


@pytest.mark.parametrize("name", ["sources/planted.py", "nfacct.py", "conntrack/table.py", "conntrack/stream.py"])
def test_the_native_core_is_welcome_in_two_places(name: str) -> None:
    answer = _ruff(CORE_IMPORT, f"python/netledger/{name}")
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("call", ["time.time()", "time.time_ns()"])
def test_the_wall_clock_is_banned(call: str) -> None:
    answer = _ruff(f'"""A room."""\n\nimport time\n\nSTART = {call}\n', "python/netledger/reports/planted.py")
    assert answer.returncode == 1
    assert "TID251" in answer.stdout


def test_relative_imports_are_banned() -> None:
    answer = _ruff('"""A room."""\n\nfrom . import base\n\n__all__ = ["base"]\n', "python/netledger/sources/planted.py")
    assert answer.returncode == 1
    assert "TID252" in answer.stdout
