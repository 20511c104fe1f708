"""One namespace for all command lines, and the figures of the comparison at the end of the run."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.compat.nfacct.cases import Case
from tests.compat.nfacct.tables import Tables
from tests.kernel.lab import Network

_COMPARED: Counter[str | None] = Counter()
_LINES: set[Case] = set()


class Space(Network):
    """A namespace to keep objects in."""

    def _wire(self) -> None:
        self.here = self.namespace("nfacct")


@pytest.fixture(scope="module")
def tables() -> Iterator[Tables]:
    """The thread is in the namespace meanwhile."""
    with Space() as space, space.inside(space.here):
        yield Tables(space, space.here)


def note(case: Case) -> None:
    """Counts a comparison that went as it should."""
    _LINES.add(case)
    _COMPARED[case.differs] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, if both programs were compared."""
    if not _COMPARED:
        return
    different = _COMPARED.total() - _COMPARED[None]
    terminalreporter.section("nfacct beside the real one")
    terminalreporter.line(
        f"{len(_LINES)} command lines, {_COMPARED.total()} comparisons (real first, ours first): "
        f"{_COMPARED[None]} equal to the byte, {different} different as documented"
    )
    for name, times in sorted((name, times) for name, times in _COMPARED.items() if name is not None):
        terminalreporter.line(f"  {name:20} {times:5}")
