"""Both programs, run as processes that differ in nothing but the program."""

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from netledger.compat.nfacct.main import main

NOBODY = 65_534
SECONDS = 20.0
_TIMESTAMP = re.compile(rb'"timestamp" : \d+')


class Program(Enum):
    """Which of the two."""

    REAL = "real"
    OURS = "ours"


class Place(Enum):
    """Where standard output or input lead to, if not to a file that takes or gives all."""

    FILE = "file"
    FULL = "full"
    CLOSED = "closed"
    BROKEN = "broken"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Printed:
    """What a program left behind: its output with the time evened out, its complaints, its exit status."""

    output: bytes
    errors: bytes
    status: int


def real_program() -> Path:
    """Debian's program. That of the same name which netledger brings stands beside Python, and is not meant.

    Raises:
        FileNotFoundError: it is not installed.
    """
    beside = Path(sys.executable).parent
    places = [place for place in os.environ["PATH"].split(":") if place and Path(place) != beside]
    found = shutil.which("nfacct", path=":".join(places))
    if found is None:
        raise FileNotFoundError("nfacct")
    return Path(found)


def run(
    program: Program,
    words: Sequence[bytes],
    *,
    text: bytes = b"",
    output: Place = Place.FILE,
    source: Place = Place.FILE,
    as_nobody: bool = False,
) -> Printed:
    """Runs one of them to its end, in the network namespace of the calling thread."""
    with tempfile.TemporaryFile() as fed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        fed.write(text)
        fed.seek(0)
        # Forked, not started anew: to load Python for each of some thousand runs would take most of the time.
        child = os.fork()
        if child == 0:
            try:
                _wire(fed.fileno(), out.fileno(), err.fileno(), output, source)
                if as_nobody:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                if program is Program.REAL:
                    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and children would, too
                    os.execv(real_program(), [b"nfacct", *words])  # noqa: S606  # without a shell, as it is meant
                os._exit(main([os.fsdecode(word) for word in words]))
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return Printed(_TIMESTAMP.sub(b'"timestamp" : N', out.read()), err.read(), os.waitstatus_to_exitcode(status))


def _wire(fed: int, out: int, err: int, output: Place, source: Place) -> None:
    places = {Place.FULL: "/dev/full", Place.DIRECTORY: "/"}
    flags = {Place.FULL: os.O_WRONLY, Place.DIRECTORY: os.O_RDONLY}
    for descriptor, place, file in ((0, source, fed), (1, output, out), (2, Place.FILE, err)):
        if place is Place.CLOSED:
            os.close(descriptor)
        elif place is Place.FILE:
            os.dup2(file, descriptor)
        elif place is Place.BROKEN:
            reader, writer = os.pipe()
            os.dup2(writer, descriptor)
            os.close(reader)
        else:
            os.dup2(os.open(places[place], flags[place]), descriptor)
