"""The page on ``netledger.nfacct`` does what it says: its programs run as they stand, beside the real ``nfacct``."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import nfacct
from tests.kernel.lab import Network

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct")]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "nfacct-api.md"
TEXT = PAGE.read_text(encoding="utf-8")
BEGIN, ADD, GET, EVENTS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CAST = "from netledger import nfacct\n"


class Place(Network):
    """One namespace."""

    def _wire(self) -> None:
        self.here = self.namespace("here")

    def program(self, code: str, *words: str) -> tuple[int, str, str]:
        argv = ["ip", "netns", "exec", self.here, sys.executable, "-c", code, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as made:
        yield made


def test_the_page_begins_with_what_works(place: Place) -> None:
    assert place.program(BEGIN) == (0, "http-traffic 0 0\nguests 0 0\n", "")


def test_the_counterparts_of_the_old_examples_agree_with_the_real_program(place: Place) -> None:
    assert place.program(ADD, "http-traffic") == (0, "", "")
    status, _, errors = place.program(ADD, "http-traffic")
    assert (status, errors) == (1, "error: nfacct counter http-traffic: add: file exists\n")
    assert place.program(ADD) == (1, "", "Usage: -c [name]\n")
    line = "{ pkts = 00000000000000000005, bytes = 00000000000000000600 } = restored;\n"
    place.run(place.here, ["nfacct", "restore"], text=line)
    listed = place.run(place.here, ["nfacct", "list"])
    assert line in listed
    assert place.program(GET) == (0, listed, "")
    assert place.program(GET, "-z") == (0, listed, "")
    assert (
        place.program(GET)[1]
        == place.run(place.here, ["nfacct", "list"])
        == listed.replace("5,", "0,").replace("6", "0")
    )
    assert place.program(GET, "a", "b") == (1, "", "Usage: -c [-z]\n")


def test_the_events_of_the_page_end_by_their_time(place: Place) -> None:
    quickly = EVENTS.replace("timeout_seconds=60", "timeout_seconds=0.1")
    assert quickly != EVENTS
    assert place.program(CAST + quickly) == (0, "", "")


def test_the_page_names_every_call_and_each_error_that_one_raises() -> None:
    calls = [name for name in nfacct.__all__ if name[0].islower()]
    assert [name for name in calls if f"| `{name}(" not in TEXT] == []
    module = ast.parse(Path(nfacct.__file__).read_text(encoding="utf-8"))
    told = " ".join(ast.get_docstring(node) or "" for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
    raised = set(re.findall(r"\b[A-Z]\w+Error\b", told))
    assert raised >= {"UnsteadyError", "ObjectBusyError"}
    assert [name for name in sorted(raised) if f"`{name}`" not in TEXT] == []
