"""The command: does what its words say, by ``netledger.nfacct``."""

import errno
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, assert_never

from netledger import nfacct
from netledger.compat.nfacct import formats, restore
from netledger.compat.nfacct.arguments import RefusalError, Words, message, understand
from netledger.compat.nfacct.texts import HELP, VERSION_TEXT
from netledger.errors import NetledgerError, ObjectExistsError
from netledger.intervals import SECOND_NS, Clock, SystemClock

__all__ = ["main"]

_INPUT: Final = 0
_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``nfacct`` with the words behind its name; gives the exit status.

    It is 0 or 1. ``monitor`` runs until a signal ends the process.
    """
    _live_as_a_program_of_c()
    words = [os.fsencode(word) for word in (sys.argv[1:] if argv is None else argv)]
    try:
        _obey(understand(words), SystemClock())
    except RefusalError as refusal:
        return _fail(refusal.text)
    except NetledgerError as error:
        return _fail(message(b"error: " + _kernel_words(error)))
    except _OutputError as error:
        return _fail(message(b"error: " + os.strerror(error.number).encode()) + error.rest)
    except OSError as error:  # of standard input
        return _fail(message(b"error: " + os.strerror(error.errno or errno.EIO).encode()))
    return 0


class _OutputError(Exception):
    """Standard output takes no more.

    Attributes:
        number: the kernel's, for why.
        rest: lines for standard error, about what is nowhere else any more.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.rest = b""


def _live_as_a_program_of_c() -> None:
    """Signals end the process as they come, and a standard file that is closed is no place for a socket."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in (_INPUT, _OUTPUT, _STANDARD_ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            # Read-only: what is written there fails, as it does when nothing is open.
            os.open(os.devnull, os.O_RDONLY)


def _obey(words: Words, clock: Clock) -> None:
    match words.command:
        case "list":
            _print(nfacct.reset_all(words.only) if words.reset else iter(nfacct.list(words.only)), words, clock)
        case "get":
            _refuse_the_empty(words.name, b"No such file or directory")
            _print(iter([nfacct.reset(words.name) if words.reset else nfacct.get(words.name)]), words, clock)
        case "add":
            _refuse_the_empty(words.name, b"Invalid argument")
            nfacct.add(words.name, quota=words.quota)
        case "delete":
            _refuse_the_empty(words.name, b"No such file or directory")
            nfacct.delete(words.name)
        case "flush":
            nfacct.flush()
        case "restore":
            _restore(words)
        case "monitor":
            _monitor()
        case "version":
            _write(VERSION_TEXT)
        case "help":
            _write(HELP)
        case _:
            assert_never(words.command)


def _refuse_the_empty(name: bytes, answer: bytes) -> None:
    """Answers for the kernel, which has no object without a name.

    Raises:
        RefusalError: the name is empty.
        PermissionDeniedError: and we may not even ask.
    """
    if not name:
        nfacct.list(nfacct.Only.OVER_QUOTA)
        raise RefusalError(message(b"error: " + answer))


def _print(counters: Iterator[nfacct.Counter], words: Words, clock: Clock) -> None:
    seconds = clock.now().wall_ns // SECOND_NS
    taken: list[bytes] = []
    # When they are reset, each is written before the next one is taken: no more than one may be lost with the output.
    pieces = formats.pieces(
        _noted(counters, taken) if words.reset else counters,
        words.form,
        timestamp_seconds=seconds,
        is_strict=words.is_strict,
    )
    for piece in pieces if words.reset else [b"".join(pieces)]:
        try:
            _write(piece)
        except _OutputError as error:
            error.rest = b"".join(message(b"not written: " + line.removesuffix(b"\n")) for line in taken[-1:])
            raise


def _noted(counters: Iterable[nfacct.Counter], taken: list[bytes]) -> Iterator[nfacct.Counter]:
    for counter in counters:
        taken[:] = [formats.line(counter)]
        yield counter


def _restore(words: Words) -> None:
    with open(_INPUT, "rb", closefd=False) as source:
        for line in restore.read(source, is_strict=words.is_strict):
            nfacct.add(line.name, quota=line.quota, packets=line.packets, octets=line.octets)


def _monitor() -> None:
    with nfacct.events() as events:
        for event in events:
            if isinstance(event, nfacct.Lost):
                _complain(message(b"error: No buffer space available (%d events lost)" % event.events))
            else:
                _write(formats.line(event))


def _kernel_words(error: NetledgerError) -> bytes:
    # The old program does not ask for EEXIST, and is told EBUSY.
    if isinstance(error, ObjectExistsError):
        return os.strerror(errno.EBUSY).encode()
    return f"{error.cause[:1].upper()}{error.cause[1:]}".encode(errors="surrogateescape")


def _write(text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        try:
            rest = rest[os.write(_OUTPUT, rest) :]
        except OSError as error:
            raise _OutputError(error.errno or errno.EIO) from error


def _fail(text: bytes) -> int:
    _complain(text)
    return 1


def _complain(text: bytes) -> None:
    with suppress(OSError):
        os.write(_STANDARD_ERROR, text)
