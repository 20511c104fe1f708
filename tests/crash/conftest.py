"""A test that uses the lab needs what the tests on the real kernel need; what a crash test has to say comes at the end.

Tests of the store alone need no network, and those with a file system of their own say so by ``loop``.
"""

from pathlib import Path

import pytest

from tests.crash.trial import SAID
from tests.kernel.conftest import lab

__all__ = ["lab"]

HERE = Path(__file__).parent
LIVES_SECONDS = 900  # a busy machine takes a while for each of many lives


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIVES_SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures of tests that passed, too: pytest shows only the output of those that failed."""
    if SAID:
        terminalreporter.section("crash tests: figures")
        terminalreporter.write("\n".join(SAID) + "\n")
