"""What nacctd 0.71 of Debian 12 did, as it was recorded."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

TRANSCRIPTS = Path(__file__).parent / "transcripts"
_SECTION = re.compile(r"^== (.*)\n", re.MULTILINE)
_DATAGRAM = re.compile(r"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (nacctd(?: \([a-z]+\))?): ", re.DOTALL)


@dataclass(frozen=True)
class Transcript:
    """One recorded run.

    Attributes:
        naccttab: the file it was started with.
        log: the lines of its output, without their times.
        said: what the log daemon got: priority, name and text.
    """

    naccttab: str
    log: tuple[str, ...]
    said: tuple[tuple[int, str, str], ...]


def transcript(name: str) -> Transcript:
    parts = _SECTION.split((TRANSCRIPTS / name).read_text(errors="surrogateescape"))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    log = next((text for title, text in sections.items() if title.startswith("file /mnt/acct.log (")), "")
    datagrams = next(text for title, text in sections.items() if title.startswith("syslog"))
    said = (ast.literal_eval(line) for line in datagrams.splitlines() if line[0] in "'\"")
    return Transcript(
        naccttab=sections["naccttab"],
        log=tuple(line.partition("\t")[2] for line in log.splitlines()),
        said=tuple(_parts(each) for each in said),
    )


def names() -> list[str]:
    """All runs with a naccttab."""
    return sorted(path.name for path in TRANSCRIPTS.glob("*.txt") if path.name != "00-cli-pidfile-daemon.txt")


def _parts(datagram: str) -> tuple[int, str, str]:
    match = _DATAGRAM.match(datagram)
    if match is None:
        raise ValueError(datagram)
    return int(match[1]), match[2], datagram[match.end() :]
