"""The same command line, the same flows, the same moment: what the real conntrack does and what ours does.

Each is run in both orders. Output, complaints, exit status and the flows that are left are the same to the byte, or the
case differs by a difference that has its row in docs/reference/compat-conntrack.md.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.compat.conntrack.both import Printed, Program, run
from tests.compat.conntrack.cases import Case, all_groups
from tests.compat.conntrack.conftest import Spaces, figures, note
from tests.compat.conntrack.differences import as_old, names
from tests.compat.conntrack.filters import has

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

GROUPS = all_groups()
ORDERS = ((Program.REAL, Program.OURS), (Program.OURS, Program.REAL))
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "compat-conntrack.md"
ATTEMPTS = 50
REFUSED = 2
ELSEWHERE = {"zero-nat", "events-lost", "events-queue", "events-time", "events-userspace", "lost-output", "cut-lines"}
"""Differences that have tests of their own, in test_events.py and test_beside.py."""
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)
Seen = dict[Program, tuple[Printed, Printed | None]]


@pytest.mark.parametrize("group", GROUPS)
def test_both_do_the_same_or_differ_as_documented(spaces: Spaces, group: str) -> None:
    wrong = []
    for case in GROUPS[group]:
        if _goes_on(case):
            continue
        with spaces.space.inside(spaces.name(case.space)):
            both = _changing(case, spaces) if case.changes else _at_rest(case)
        for seen in both:
            complaint = _compare(case, seen)
            if complaint:
                wrong.append(f"{case}: {complaint}")
    assert not wrong, "\n".join(wrong)


def test_each_difference_has_a_row_in_the_page_and_the_page_says_how_many_they_are() -> None:
    lines, equal, different, seen = figures()
    page = PAGE.read_text(encoding="utf-8")
    rows = _ROW.findall(page.partition("| Difference |")[2])
    assert len(rows) == len(set(rows))
    assert seen <= set(rows)
    if lines < len({case for cases in GROUPS.values() for case in cases if not _goes_on(case)}):
        pytest.skip("only some have been compared")
    assert set(rows) == seen | ELSEWHERE
    line = (
        f"{lines:,} command lines are compared: {equal:,} are equal to the byte, {different} differ, by {len(seen)} of"
    )
    assert line in " ".join(page.split())


def _goes_on(case: Case) -> bool:
    """Whether it listens until it is stopped: that has tests of its own."""
    refused = (
        "-E -[LDGFCSVhE]",
        "-E (?:dying|unconfirmed|d|u|nosuch|extra)",
        "-E -[XPztui].*",
        "-E -p nosuch",
        "-E -e (?:BOGUS|NEW,|,)",
    )
    return has(case.words, "-E.*") and not case.as_nobody and not has(case.words, *refused)


def _run(program: Program, case: Case) -> Printed:
    words = case.words.split()
    if case.strict and program is Program.OURS:
        words.insert(0, "--strict-output")
    return run(program, words, as_nobody=case.as_nobody)


def _at_rest(case: Case) -> list[Seen]:
    """Each before and after the other, so that both orders are there; again when a second has passed meanwhile.

    Lines that both refuse touch no flows; of those one order is enough.
    """
    for _ in range(ATTEMPTS):
        runs = [_run(program, case) for program in (Program.REAL, Program.OURS)]
        if all(printed.status == REFUSED for printed in runs):
            return [{Program.REAL: (runs[0], None), Program.OURS: (runs[1], None)}]
        runs += [_run(program, case) for program in (Program.REAL, Program.OURS)]
        if runs[0] == runs[2] and runs[1] == runs[3]:
            return [{Program.REAL: (runs[0], None), Program.OURS: (runs[1], None)}] * 2
    raise AssertionError(f"{case}: never the same twice")


def _changing(case: Case, spaces: Spaces) -> list[Seen]:
    both = []
    for order in ORDERS:
        seen: Seen = {}
        for program in order:
            if case.space == "made":
                spaces.space.fill()
            printed = _run(program, case)
            seen[program] = printed.evened(), run(Program.REAL, ["-L"]).evened()
        both.append(seen)
    # For the next one, which may only look.
    spaces.space.fill()
    return both


def _compare(case: Case, seen: Seen) -> str | None:
    """What is wrong, if anything is."""
    (real, _), (ours, _) = seen[Program.REAL], seen[Program.OURS]
    expected = names(case, real)
    is_same = seen[Program.REAL] == seen[Program.OURS]
    if is_same is bool(expected):
        return f"{expected} is no difference here" if expected else f"\n  {seen[Program.REAL]}\n  {seen[Program.OURS]}"
    if ours.output.startswith(b"<?xml") and not case.strict:
        told = re.search(rb"(\d+) (?:flow entries|expectations)", ours.errors)
        flows = ElementTree.fromstring(ours.output)  # noqa: S314  # it is our own
        if told is None or len(flows) != int(told[1]):
            return f"{len(flows)} flows in the document, told: {ours.errors!r}"
        if all(name.startswith("xml-") for name in expected) and as_old(ours.output, case.words) != real.output:
            return f"more than {expected}:\n  {real.output!r}\n  {ours.output!r}"
    note(case, min(expected) if expected else None)
    return None
