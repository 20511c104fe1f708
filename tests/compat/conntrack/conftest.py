"""Namespaces with flows, and the figures of the comparison at the end of the run."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.compat.conntrack.cases import Case
from tests.compat.conntrack.tables import Space, Traffic

_COMPARED: Counter[str | None] = Counter()
_LINES: set[Case] = set()
_EQUAL: set[Case] = set()


@dataclass(frozen=True, slots=True)
class Spaces:
    """Where the flows are."""

    space: Space
    traffic: Traffic

    def name(self, which: str) -> str:
        """The namespace of a case."""
        return {"made": self.space.made, "empty": self.space.empty, "traffic": self.traffic.gw}[which]


@pytest.fixture(scope="module")
def spaces() -> Iterator[Spaces]:
    with Space() as space, Traffic() as traffic:
        yield Spaces(space, traffic)


def note(case: Case, differs: str | None) -> None:
    """Counts a comparison that went as it should."""
    _LINES.add(case)
    _COMPARED[differs] += 1
    if differs is None:
        _EQUAL.add(case)


def figures() -> tuple[int, int, int, set[str]]:
    """Of what has been compared: command lines, those that were equal, those that were not, by which differences."""
    return len(_LINES), len(_EQUAL), len(_LINES - _EQUAL), {name for name in _COMPARED if name is not None}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, if both programs were compared."""
    if not _COMPARED:
        return
    different = _COMPARED.total() - _COMPARED[None]
    terminalreporter.section("conntrack beside the real one")
    terminalreporter.line(
        f"{len(_LINES)} command lines, {_COMPARED.total()} comparisons (real first, ours first): "
        f"{_COMPARED[None]} equal to the byte, {different} different as documented"
    )
    for name, times in sorted((name, times) for name, times in _COMPARED.items() if name is not None):
        terminalreporter.line(f"  {name:20} {times:5}")
