"""What is compiled into the native module comes from one place, may be given away, and is there once."""

import json
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
OURS = {"netledger-core", "netledger-python"}
LICENCES = {
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def _is_allowed(licence: str | None) -> bool:
    """Whether every part can be had under a licence of the list; of alternatives one is enough."""
    if not licence:
        return False
    parts = licence.replace("(", "").replace(")", "").replace("/", " OR ").split(" AND ")
    return all(any(one.strip() in LICENCES for one in part.split(" OR ")) for part in parts)


def _locked() -> list[dict[str, str]]:
    packages: list[dict[str, str]] = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return packages


def test_every_crate_comes_from_the_registry_and_is_checked() -> None:
    foreign = [crate for crate in _locked() if crate["name"] not in OURS]
    assert foreign
    assert [crate["name"] for crate in foreign if crate.get("source") != REGISTRY or "checksum" not in crate] == []


def test_every_crate_has_a_licence_that_lets_it_be_given_away() -> None:
    command = [
        "cargo",
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    packages = json.loads(answer.stdout)["packages"]
    assert {crate["name"] for crate in packages} >= OURS
    assert [(crate["name"], crate["license"]) for crate in packages if not _is_allowed(crate["license"])] == []


@pytest.mark.parametrize("licence", [None, "", "GPL-3.0-only", "MIT AND GPL-2.0", "LGPL-2.1-or-later OR SSPL-1.0"])
def test_another_licence_is_refused(licence: str | None) -> None:
    assert not _is_allowed(licence)


@pytest.mark.parametrize("licence", ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0"])
def test_a_licence_of_the_list_is_enough(licence: str) -> None:
    assert _is_allowed(licence)


def test_what_crosses_the_wall_is_there_once() -> None:
    counted = Counter(crate["name"] for crate in _locked())
    assert [name for name in counted if name.startswith(("pyo3", "arrow-")) and counted[name] > 1] == []
