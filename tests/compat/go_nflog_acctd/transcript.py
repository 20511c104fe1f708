"""What was recorded of the old program, and how to compare with it.

The files in ``transcripts`` are as they were recorded. Times and process numbers differ from run to run, and rows were
in random order: both are evened out before comparing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

TRANSCRIPTS = Path(__file__).with_name("transcripts")

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
_FILE_TIME = re.compile(r"\d{4}-\d\d-\d\d-\d{6}")
_ROW_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,")
_DUMP_TIME = re.compile(r"(Next stats dump at ).*")
_LINE = re.compile(r"^\d{4}/\d\d/\d\d ")


@dataclass(frozen=True, slots=True)
class Case:
    """One command of the list of flags: its words, what it printed (times evened out), its exit status.

    Status 124 is that of ``timeout``: the program ran until it was ended by SIGTERM.
    """

    words: tuple[str, ...]
    lines: tuple[str, ...]
    status: int


def even(text: str) -> str:
    """A line without what differs from run to run."""
    text = _STAMP.sub("", text)
    text = _FILE_TIME.sub("TIME", text)
    text = _DUMP_TIME.sub(r"\1TIME", text)
    return _ROW_TIME.sub("TIME,", text)


def flag_cases() -> list[Case]:
    """The commands of ``00-flags.txt``, without the one that shows the usage."""
    found = []
    for block in (TRANSCRIPTS / "00-flags.txt").read_text().split("\n$ ")[2:]:
        command, *lines = block.splitlines()
        end = next(index for index, line in enumerate(lines) if line.startswith("[rc="))
        status = int(lines[end][4:-1])
        found.append(Case(tuple(command.split(" ")[1:]), tuple(even(line) for line in lines[:end]), status))
    return found


def usage() -> str:
    """The usage as the old program printed it."""
    text = (TRANSCRIPTS / "00-flags.txt").read_text()
    start = text.index("go-nflog-acctd ver")
    return text[start : text.index("[rc=0]")]


def log_of(name: str) -> list[str]:
    """The log lines of a transcript, evened out."""
    return [even(line) for line in _read(name).splitlines() if _LINE.match(line)]


def rows_of(name: str) -> list[list[str]]:
    """The rows of each CSV file in a transcript, evened out and sorted; the header is left out."""
    files: list[list[str]] = []
    for line in _read(name).splitlines():
        if line.startswith("Time,IP,"):
            files.append([])
        elif _ROW_TIME.match(line):
            files[-1].append(even(line))
    return [sorted(rows) for rows in files]


def _read(name: str) -> str:
    matching = sorted(TRANSCRIPTS.glob(f"{name}-*.txt"))
    if len(matching) != 1:
        raise ValueError(f"{name}: {len(matching)} transcripts")
    return matching[0].read_text()
