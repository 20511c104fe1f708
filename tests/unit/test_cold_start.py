"""A command loads what it needs and no more: to load is most of what a short command takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.store import filled

# What is loaded when the command has done its work; standard output belongs to the command.
_CHILD = """
import json, sys
from netledger.cli.main import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""
# Each of them takes longer to load than a tenth of a short command.
_HEAVY = {"duckdb", "netledger._core", "numpy", "pandas", "pyarrow", "pydantic", "rich"}


def _modules(*arguments: str) -> set[str]:
    argv = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code in {0, 3}, done.stderr
    return set(modules)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("cold") / "store")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], set()),
        # What understands options is written with it, so that a configuration costs nothing more.
        (["report", "--help"], {"pydantic"}),
        (["files", "--store", "STORE"], {"pydantic"}),
        # Its numbers come as Python's own: Arrow, and what draws tables, would take longer than the answer.
        (["report", "--period", "2025", "--store", "STORE"], {"duckdb", "pydantic"}),
        (["report", "--period", "2025", "--csv", "--store", "STORE"], {"duckdb", "pydantic"}),
    ],
)
def test_a_command_loads_what_it_needs(arguments: list[str], needed: set[str], store: Path) -> None:
    loaded = _modules(*(str(store) if part == "STORE" else part for part in arguments))
    assert loaded & _HEAVY == needed


def test_a_report_does_not_load_what_counts_and_what_writes(store: Path) -> None:
    loaded = _modules("report", "--period", "2025", "--store", str(store))
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("netledger.")}
    assert not rooms & {"netledger.compat.go_nflog_acctd", "netledger.daemon", "netledger.pipeline"}
    assert "netledger.ledger.maintain" not in loaded


def test_an_old_command_loads_little_more_than_what_it_asks_the_kernel_with() -> None:
    code = "import sys, netledger.compat.nfacct.main; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert loaded & (_HEAVY | {"typer", "subprocess", "socket", "pathlib"}) == {"netledger._core"}


def test_pydantic_takes_no_plug_ins() -> None:
    # It would read about every package that is installed, and let any of them change what a configuration means.
    argv = [sys.executable, "-c", "import netledger.cli, pydantic.plugin._loader as x; print(list(x.get_plugins()))"]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout == "[]\n"


def test_the_version_is_known_when_it_is_asked_for() -> None:
    code = "import sys, netledger; before = 'importlib.metadata' in sys.modules; print(before, netledger.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    before, version = done.stdout.split()
    assert before == "False"
    assert version[0].isdigit()
