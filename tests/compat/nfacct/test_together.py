"""Both programs work on the same objects in turns; ours also as it is installed, as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netledger import nfacct
from netledger.nfacct import Counter, Quota, Unit
from tests.compat.nfacct.both import Place, Program, real_program, run
from tests.compat.nfacct.tables import ODD_NAMES, Tables

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

BESIDE_PYTHON = Path(sys.executable).parent
FORMS = ([str(BESIDE_PYTHON / "nfacct")], [str(BESIDE_PYTHON / "netledger"), "compat", "nfacct"])
WHOLE = "{ pkts = 1, bytes = 2 } = a;"
PARTS = [
    "{ pkts = ",
    "1",
    ", bytes = ",
    "2",
    " } = ",
    "a",
    "b",
    ";",
    ", quota = 7, mode = byte",
    "x",
    "-",
    "=",
    "}",
    "{ ",
]
SENTENCES = st.lists(st.sampled_from([WHOLE, *PARTS, " "]), max_size=9)

COMMANDS = [
    "list",
    "l",
    "add",
    "a",
    "delete",
    "d",
    "get",
    "g",
    "flush",
    "f",
    "version",
    "v",
    "help",
    "h",
    "restore",
    "r",
    "res",
    "reset",
    "bogus",
    "-h",
]
WORDS = [
    "plain",
    "bytes",
    "packets",
    "new",
    "reset",
    "xml",
    "json",
    "counters",
    "bytes-quota",
    "pkts-quota",
    "overquota",
    "byte",
    "packet",
    "7",
    "-1",
    "12x",
    "x",
    "o",
    "js",
]
LINES = st.tuples(
    st.sampled_from(COMMANDS), st.lists(st.sampled_from([*WORDS, "y" * 31, "y" * 32, "\udcff"]), max_size=4)
)


@pytest.mark.parametrize("writer", Program, ids=lambda program: program.value)
def test_what_one_makes_the_other_has(tables: Tables, writer: Program) -> None:
    reader = Program.OURS if writer is Program.REAL else Program.REAL
    tables.prepare("empty")
    for name in ODD_NAMES:
        assert run(writer, [b"add", name]).status == 0
        assert run(reader, [b"get", name]) == run(writer, [b"get", name])
    assert run(writer, [b"add", b"q", b"packet", b"3"]).status == 0
    assert run(reader, [b"list"]) == run(writer, [b"list"])
    assert [counter.name for counter in nfacct.list()] == [*ODD_NAMES, b"q"]
    assert run(reader, [b"delete", b"q"]).status == 0
    assert run(writer, [b"get", b"q"]).status == 1
    assert run(reader, [b"flush"]).status == 0
    assert run(writer, [b"list"]).output == b""


def told(counters: tuple[Counter, ...]) -> list[tuple[object, ...]]:
    """What a line can tell: neither who uses an object nor that it is over its quota comes back."""
    return [(one.name, one.packets, one.bytes, one.quota) for one in counters]


@pytest.mark.parametrize("table", ["plain", "odd", "quotas", "many"])
def test_what_the_real_one_lists_ours_restores(tables: Tables, table: str) -> None:
    tables.prepare(table)
    before = nfacct.list()
    listed = run(Program.REAL, [b"list"]).output
    nfacct.flush()
    assert run(Program.OURS, [b"restore"], text=listed).status == 0
    assert told(nfacct.list()) == told(before)
    assert run(Program.REAL, [b"list"]).output == listed


def test_a_quota_that_was_over_is_over_again_with_the_next_packet(tables: Tables) -> None:
    tables.prepare("used")
    listed = run(Program.REAL, [b"get", b"packets-over"]).output
    assert b"overquota = yes" in listed
    tables.prepare("empty")
    assert run(Program.OURS, [b"restore"], text=listed).status == 0
    assert told(nfacct.list()) == [(b"packets-over", 4, 512, Quota(3, Unit.PACKETS))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(SENTENCES)
def test_any_words_of_people_are_restored_alike(tables: Tables, sentence: list[str]) -> None:
    # A blank in a name, and a quota's, are where both differ on purpose.
    name = "".join(sentence).partition(";")[0].rpartition("=")[2].strip()
    text = "".join(sentence).encode()
    if " " in name or "quota" in name:
        return
    found = []
    for program in (Program.REAL, Program.OURS):
        tables.prepare("empty")
        found.append((run(program, [b"restore"], text=text), nfacct.list()))
    assert found[0] == found[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(LINES)
def test_any_line_is_obeyed_alike_when_it_shall_be_as_it_was(tables: Tables, line: tuple[str, list[str]]) -> None:
    words = [os.fsencode(word) for word in (line[0], *line[1])]
    found = []
    for program in (Program.REAL, Program.OURS):
        tables.prepare("quotas")
        strict = [b"--strict-output"] if program is Program.OURS else []
        found.append((run(program, [*strict, *words]), nfacct.list()))
    assert found[0] == found[1]


@pytest.mark.parametrize("command", FORMS, ids=["nfacct", "netledger compat nfacct"])
@pytest.mark.parametrize("language", ["C", "C.UTF-8", "POSIX"])
def test_as_it_is_installed_it_does_the_same(tables: Tables, command: list[str], language: str) -> None:
    session: list[list[bytes]] = [
        [b"list"], [b"get", b"\xff\xfe"], [b"get", "größe €".encode()], [b"bogus", b"\xff"], [b"add", b"\xfe"],
        [b"delete", b"\xfe"], [b"delete", b"\xfe"], [b"help"], [b"v"], [b"add"], [], [b"list", b"r"], [b"list", b"o"],
    ]  # fmt: skip
    environment = os.environ | {"LC_ALL": language}
    done = []
    for program, executable in ((["nfacct"], real_program()), (command, Path(command[0]))):
        tables.prepare("odd")
        done.append([_started([*program, *words], executable, environment) for words in session])
    assert done[1] == done[0]


def _started(words: Sequence[bytes | str], executable: Path, environment: dict[str, str]) -> tuple[bytes, bytes, int]:
    done = subprocess.run(words, capture_output=True, timeout=120, check=False, env=environment, executable=executable)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("form", ["plain", "xml", "json"])
def test_a_reset_that_cannot_be_printed_stops_at_once_and_tells_what_it_has_taken(tables: Tables, form: str) -> None:
    tables.prepare("quotas")
    first, *rest = nfacct.list()
    form_words = [form.encode()] if form != "plain" else []
    printed = run(Program.OURS, [b"list", b"reset", *form_words], output=Place.FULL)
    assert printed.status == 1
    assert printed.errors == (
        b"nfacct v1.0.2: error: No space left on device\n"
        b"nfacct v1.0.2: not written: { pkts = %020d, bytes = %020d } = plain;\n" % (first.packets, first.bytes)
    )
    after = nfacct.list()
    assert (after[0].packets, after[0].bytes) == (0, 0)
    assert [*after[1:]] == rest
    lost = run(Program.REAL, [b"list", b"reset", *form_words], output=Place.FULL)
    assert (lost.errors, lost.status) == (b"", 0)
    assert all(counter.packets == 0 for counter in nfacct.list())


def test_both_are_ended_alike_by_a_reader_that_goes(tables: Tables) -> None:
    tables.prepare("many")
    told_first = []
    for program in ([str(real_program())], FORMS[0]):
        process = subprocess.Popen([*program, "list"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        told_first.append(process.stdout.readline())
        process.stdout.close()
        assert process.wait(30) in {0, -13}
    assert told_first[0] == told_first[1]


def test_the_real_program_is_not_ours() -> None:
    assert real_program().parent != BESIDE_PYTHON
    assert real_program().read_bytes()[:4] == b"\x7fELF"
