"""The session that was recorded of the old program, repeated with ours: no nfacct need be installed for it.

The file in ``transcripts`` is as it was recorded: ``out|`` and ``err|`` mark the two streams, ``^I`` is a tabulator.
Its command lines have no quotes any more; the name with a blank in it is known.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat.nfacct.both import Program, run
from tests.compat.nfacct.tables import Tables

pytestmark = pytest.mark.kernel

_TRANSCRIPT = Path(__file__).with_name("transcripts") / "01-cli-transcript.txt"
_TIME = re.compile(r'"timestamp" : \d+')
# The old program takes the empty word for `reset`.
_EMPTY_OPTION = (b"list", b"")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One command and what it did."""

    words: tuple[bytes, ...]
    output: str
    errors: str
    status: int


def recorded() -> list[Recorded]:
    """The session, in its order."""
    found = []
    for block in _TRANSCRIPT.read_text(encoding="utf-8").split("\n$ nfacct")[1:]:
        command, *lines = block.replace("^I", "\t").splitlines()
        streams = {
            mark: "".join(f"{line[5:]}\n" for line in lines if line.startswith(mark)) for mark in ("out|", "err|")
        }
        status = next(int(line[4:-1]) for line in lines if line.startswith("[rc="))
        words = command.replace("with space", "with\0space").split(" ")[1:]
        encoded = tuple(word.replace("\0", " ").encode() for word in words)
        found.append(Recorded(encoded, _TIME.sub('"timestamp" : N', streams["out|"]), streams["err|"], status))
    return found


def test_the_session_goes_as_it_was_recorded(tables: Tables) -> None:
    tables.prepare("empty")
    session = recorded()
    assert len(session) == 69
    for one in session:
        printed = run(Program.OURS, (b"--strict-output", *one.words) if one.words else ())
        told = Recorded(one.words, printed.output.decode(), printed.errors.decode(), printed.status)
        if one.words == _EMPTY_OPTION:
            assert (told.output, told.errors) == ("", "nfacct v1.0.2: unknown argument\n")
        else:
            assert told == one
