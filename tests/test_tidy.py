"""This repository keeps its own rules, and each rule catches what it is there for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tidy

ROOT = Path(__file__).parent.parent
TREE = tidy.Tree(ROOT)
Rule = Callable[[tidy.Tree], list[str]]

LONG_PYTHON = "def walk():\n" + "    step()\n" * 60
LONG_RUST = "fn walk() {\n" + '    step("}");\n' * 59 + "}\n"
# An exception that is written here in one piece would be one of this file's own.
NOQA = "# no" + "qa"
IGNORE = "# type: " + "ignore"
LATER = "TO" + "DO"

PLANTED: list[tuple[Rule, str, str, int]] = [
    (tidy.long_files, "python/netledger/big.py", '"""Big."""\n' * 401, 1),
    (tidy.long_files, "crates/core/src/big.rs", "//\n" * 401, 1),
    (tidy.long_files, "bench/run", "#!/bin/sh\n" * 401, 1),
    (tidy.long_functions, "python/netledger/walk.py", "x = 1\n" + LONG_PYTHON, 2),
    (tidy.long_functions, "demo/run", "#!/usr/bin/env python3\n" + LONG_PYTHON, 2),
    (tidy.long_functions, "crates/core/src/walk.rs", "/* fn { */\n" + LONG_RUST, 2),
    (tidy.vague_names, "python/netledger/utils.py", "", 1),
    (tidy.vague_names, "python/netledger/common/rows.py", "", 1),
    (tidy.vague_names, "crates/core/src/manager.rs", "", 1),
    (tidy.sleeping_tests, "tests/unit/test_nap.py", "import time\ntime.sleep(1)\n", 2),
    (tidy.sleeping_tests, "tests/unit/test_nap.py", "from time import sleep\n", 1),
    (tidy.sleeping_tests, "crates/core/src/nap.rs", "#[cfg(test)]\nmod t { fn a() { thread::sleep(D); } }\n", 2),
    (tidy.unsafe_outside_sys, "crates/core/src/table.rs", "// unsafe\nfn a() { unsafe { b() } }\n", 2),
    (tidy.unsafe_outside_sys, "crates/python/src/lib.rs", "unsafe impl Send for A {}\n", 1),
    (tidy.silent_modules, "python/netledger/mute.py", "# says nothing\nx = 1\n", 1),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"import os  {NOQA}\n", 1),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"\nimport os  {NOQA}: F401, E501\n", 2),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"{NOQA.replace('no', 'ruff: no')}: E501\n", 1),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"x = y  {IGNORE}[attr-defined]\n", 1),
    (tidy.unexplained_exceptions, "crates/core/src/a.rs", "#[allow(dead_code)]\nfn a() {}\n", 1),
    (tidy.unexplained_exceptions, "crates/core/src/a.rs", "\n#![expect(\n    dead_code\n)]\n", 2),
    (tidy.unfinished_work, "python/netledger/a.py", f"x = 1\n# {LATER}: the rest\n", 2),
    (tidy.unfinished_work, "docs/how-to/a.md", f"{LATER}\n", 1),
    (tidy.line_references, "docs/a.md", "see `meter.py:12`\n", 1),
    (tidy.line_references, "README.md", "\nlook at line 40\n", 2),
    (tidy.soft_steps, "Makefile", "test:\n\tpytest || true\n", 2),
    (tidy.soft_steps, "Makefile", "test:\n\t-pytest\n", 2),
    (tidy.soft_steps, ".ci/run", "set +e\n", 1),
    (tidy.loose_tests, "tests/unit/test_a.py", '"""A."""\n', 1),
]

INNOCENT: list[tuple[Rule, str, str]] = [
    (tidy.long_files, "python/netledger/full.py", "x = 1\n" * 400),
    (tidy.long_files, "docs/long.md", "word\n" * 1000),
    (tidy.long_functions, "python/netledger/walk.py", LONG_PYTHON.removesuffix("    step()\n")),
    (tidy.long_functions, "crates/core/src/walk.rs", "fn walk() {\n" + "    step(b'{');\n" * 58 + "}\n"),
    (tidy.vague_names, "python/netledger/manage.py", ""),
    (tidy.sleeping_tests, "python/netledger/daemon.py", "import time\ntime.sleep(1)\n"),
    (tidy.unsafe_outside_sys, "crates/core/src/sys/mapping.rs", "unsafe { b() }\n"),
    (tidy.unsafe_outside_sys, "crates/core/src/a.rs", '#![deny(unsafe_code)]\nconst A: &str = "unsafe";\n'),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"import os  {NOQA}: F401 - re-exported\n"),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f"x = y  {IGNORE}[attr-defined]  # pyarrow has no types\n"),
    (tidy.unexplained_exceptions, "python/netledger/a.py", f'x = "{NOQA}"\n'),
    (
        tidy.unexplained_exceptions,
        "crates/core/src/a.rs",
        '#[allow(dead_code, reason = "C layout (8 bytes)")]\nfn a() {}\n',
    ),
    (tidy.line_references, "docs/a.md", "```\nnetledger.toml:12: meters.lan: line 3\n```\n"),
    (tidy.soft_steps, "Makefile", "test:\n\tpytest || { echo no; exit 1; }\n"),
]


def _plant(root: Path, name: str, text: str) -> tidy.Tree:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return tidy.Tree(root)


@pytest.mark.parametrize("rule", tidy.RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    offences = rule(TREE)
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize(("rule", "name", "text", "line"), PLANTED)
def test_a_planted_offence_is_caught(tmp_path: Path, rule: Rule, name: str, text: str, line: int) -> None:
    offences = rule(_plant(tmp_path, name, text))
    assert len(offences) == 1
    expected = "tests/unit/__init__.py:1: " if rule is tidy.loose_tests else f"{name}:{line}: "
    assert offences[0].startswith(expected)


@pytest.mark.parametrize(("rule", "name", "text"), INNOCENT)
def test_what_is_in_order_is_left_alone(tmp_path: Path, rule: Rule, name: str, text: str) -> None:
    assert rule(_plant(tmp_path, name, text)) == []


def test_every_rule_has_a_planted_offence() -> None:
    assert {rule for rule, *_ in PLANTED} == set(tidy.RULES)


def test_the_rules_look_at_this_very_repository() -> None:
    seen = {path.as_posix() for path in TREE.files}
    assert {"Makefile", ".ci/run", "python/netledger/errors.py", "crates/core/src/lib.rs", "tests/tidy.py"} <= seen
