"""The same command line, the same objects, the same moment: what the real nfacct does and what ours does.

Each is run in both orders. Output, complaints, exit status and the objects that are left are the same, or the case
names a difference that has its row in docs/reference/compat-nfacct.md, and they differ.
"""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from netledger import nfacct
from netledger.nfacct import Counter, Unit
from tests.compat.nfacct.both import Place, Printed, Program, run
from tests.compat.nfacct.cases import OF_MONITOR, Case, all_cases
from tests.compat.nfacct.conftest import note
from tests.compat.nfacct.tables import Tables

CASES = all_cases()
ORDERS = ((Program.REAL, Program.OURS), (Program.OURS, Program.REAL))
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "compat-nfacct.md"
_ROW = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)


def _run(program: Program, case: Case) -> Printed:
    words = (b"--strict-output", *case.words) if case.strict and program is Program.OURS else case.words
    return run(program, words, text=case.text, output=case.output, source=case.source, as_nobody=case.as_nobody)


@pytest.mark.kernel
@pytest.mark.peers("nfacct", "iptables")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_do_the_same_or_differ_as_documented(tables: Tables, case: Case) -> None:
    for order in ORDERS:
        tables.prepare(case.table)
        before = after = nfacct.list()
        seen: dict[Program, tuple[Printed, tuple[Counter, ...]]] = {}
        for program in order:
            if after != before:
                tables.prepare(case.table)
            printed = _run(program, case)
            after = nfacct.list()
            seen[program] = printed, after
        if case.differs is None:
            assert seen[Program.OURS] == seen[Program.REAL]
        else:
            assert seen[Program.OURS] != seen[Program.REAL], f"{case.differs} is no difference any more"
        if not case.strict and case.output is Place.FILE:
            _check_documents(seen[Program.OURS][0].output, before)
        note(case)


def _check_documents(output: bytes, before: tuple[Counter, ...]) -> None:
    """What is to be JSON is, and XML; and it tells what the kernel has."""
    names = {counter.text for counter in before}
    if output.startswith(b'{ "timestamp"'):
        document = json.loads(output.replace(b": N", b": 0"))
        for told in document["nfacct_counters"]:
            assert told["name"] in names
            counter = next(one for one in before if one.text == told["name"])
            assert (told["pkts"], told["bytes"]) == (counter.packets, counter.bytes)
            if counter.quota is not None:
                mode = "byte" if counter.quota.unit is Unit.BYTES else "packet"
                assert (told["quota"], told["mode"]) == (counter.quota.limit, mode)
                assert told["overquota"] == counter.over_quota
    elif output.startswith(b"<?xml"):
        for told in ElementTree.fromstring(output):  # noqa: S314  # it is our own
            raw = told.find("name")
            assert raw is not None
            name = bytes.fromhex(raw.attrib["hex"]) if "hex" in raw.attrib else (raw.text or "").encode()
            counter = next(one for one in before if one.name == name)
            assert (told.findtext("pkts"), told.findtext("bytes")) == (f"{counter.packets:020}", f"{counter.bytes:020}")
            if counter.quota is not None:
                assert told.findtext("quota") == f"{counter.quota.limit:020}"
                assert told.findtext("overquota") == ("yes" if counter.over_quota else "no")


def test_each_difference_has_a_row_in_the_page_and_each_row_a_case() -> None:
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8").partition("| Difference |")[2])
    assert len(rows) == len(set(rows))
    assert set(rows) == {case.differs for case in CASES if case.differs} | OF_MONITOR


def test_the_page_says_how_many_they_are() -> None:
    different = sum(case.differs is not None for case in CASES)
    names = len({case.differs for case in CASES if case.differs})
    line = (
        f"{len(CASES):,} command lines are compared: {len(CASES) - different} are equal to the byte, "
        f"{different} differ, by {names} of the differences below"
    )
    assert line in " ".join(PAGE.read_text(encoding="utf-8").split())
