"""Both on the same wires at the same time, at rates at which nacctd loses nothing: what each of them writes.

The rows are the same, or the case is one of ``differences.py`` and both write what stands there.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.nacctd.both import Nacctd, Program
from tests.compat.nacctd.cases import HEADERS, SAME, Case
from tests.compat.nacctd.differences import DIFFERENCES, Difference
from tests.compat.nacctd.space import Wires

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd")]

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "compat-nacctd.md"
_NAME = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)


@pytest.fixture
def wires() -> Iterator[Wires]:
    with Wires() as made:
        yield made


def _beside(wires: Wires, case: Case, beginning: str) -> tuple[Nacctd, Nacctd]:
    """Runs both while the traffic of a case passes."""
    for turn in ("", "-again", "-at-last"):
        real, ours = (Nacctd(program, wires, beginning + case.table, name=turn) for program in Program)
        for one in (real, ours):
            case.prepare(one.here)
            one.start()
        case.traffic(wires)
        assert [one.stop() for one in (real, ours)] == [1, 1]
        # nacctd loses all that it has when it is told to end while it writes: then it says nothing of the case.
        if real.rows() or not ours.rows():
            break
    return real, ours


@pytest.mark.parametrize("case", SAME, ids=str)
def test_both_write_the_same_rows(wires: Wires, case: Case) -> None:
    real, ours = _beside(wires, case, HEADERS)
    assert ours.rows() == real.rows()
    assert (real.dump.exists(), ours.dump.exists()) == (False, False)
    # An empty log says nothing of a case that is about what is kept.
    assert real.lines() or "nothing" in case.name or "beginning" in case.name


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_both_differ_as_the_page_says(wires: Wires, difference: Difference) -> None:
    real, ours = _beside(wires, difference.case, "")
    assert difference.real(difference.only(real.rows())), real.lines()
    assert difference.only(ours.rows()) == difference.ours


def test_each_difference_has_a_row_in_the_page() -> None:
    assert {str(one) for one in DIFFERENCES} <= set(_NAME.findall(PAGE.read_text(encoding="utf-8")))
