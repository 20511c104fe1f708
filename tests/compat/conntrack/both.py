"""Both programs, run as processes that differ in nothing but the program."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from netledger.compat.conntrack.main import main

NOBODY = 65_534
# What differs from run to run when the flows were made anew for each.
_PASSING = (
    (re.compile(rb"( use=\d+ id=)\d+"), rb"\1N"),
    (re.compile(rb"(?<!</code>)<id>\d+</id>"), b"<id>N</id>"),
    (re.compile(rb"\bdelta-time=\d+"), b"delta-time=N"),
    (re.compile(rb"<deltatime>\d+</deltatime>"), b"<deltatime>N</deltatime>"),
    (re.compile(rb"\[(start|stop)=[^]]*\]"), rb"[\1=N]"),
    (re.compile(rb"<(start|stop)>\d+<"), rb"<\1>N<"),
    (re.compile(rb"(?m)^((?:ipv[46] +\d+ )?\w+ +\d+ )\d+ "), rb"\1N "),
    (re.compile(rb"<timeout>\d+</timeout>"), b"<timeout>N</timeout>"),
    (re.compile(rb"(?m)^(-[AUD]) -t \d+ "), rb"\1 -t N "),
)


class Program(Enum):
    """Which of the two."""

    REAL = "real"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Printed:
    """What a program left behind: its output, its complaints, its exit status."""

    output: bytes
    errors: bytes
    status: int

    def evened(self) -> "Printed":
        """Without times and numbers that differ from run to run."""
        output = self.output
        for pattern, text in _PASSING:
            output = pattern.sub(text, output)
        return Printed(output, self.errors, self.status)


@cache
def real_program() -> Path:
    """Debian's program. That of the same name which netledger brings stands beside Python, and is not meant.

    Raises:
        FileNotFoundError: it is not installed.
    """
    beside = Path(sys.executable).parent
    places = [place for place in os.environ["PATH"].split(":") if place and Path(place) != beside]
    found = shutil.which("conntrack", path=":".join(places))
    if found is None:
        raise FileNotFoundError("conntrack")
    return Path(found)


def run(program: Program, words: Sequence[str], *, output: str | None = None, as_nobody: bool = False) -> Printed:
    """Runs one of them to its end, in the network namespace of the calling thread.

    ``output`` is where standard output leads to instead of being read.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sink = out.fileno() if output is None else os.open(output, os.O_WRONLY)
        try:
            run_one = _run_real if program is Program.REAL else _run_ours
            status = run_one(words, sink, err.fileno(), as_nobody=as_nobody)
        finally:
            if output is not None:
                os.close(sink)
        out.seek(0)
        err.seek(0)
        return Printed(out.read(), err.read(), status)


def _run_real(words: Sequence[str], out: int, err: int, *, as_nobody: bool) -> int:
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    command = ["conntrack", *words]
    done = subprocess.run(command, executable=real_program(), stdout=out, stderr=err, check=False, **user)  # type: ignore[call-overload]  # a dict of options
    return int(done.returncode)


def _run_ours(words: Sequence[str], out: int, err: int, *, as_nobody: bool) -> int:
    # Forked, not started anew: to load Python for each of some thousand runs would take most of the time.
    child = os.fork()
    if child == 0:
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            if as_nobody:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os._exit(main(list(words)))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
