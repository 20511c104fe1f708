"""The command: reads the naccttab, becomes a daemon, and accounts until a signal comes."""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from netledger.compat.nacctd.accounting import Accounting
from netledger.compat.nacctd.book import Book
from netledger.compat.nacctd.debugging import DebugFile
from netledger.compat.nacctd.devices import missing_device
from netledger.compat.nacctd.metering import PacketCounting
from netledger.compat.nacctd.naccttab import Table, parse
from netledger.compat.nacctd.options import RefusedError, parse_options
from netledger.compat.nacctd.pidfile import PIDFILE, PidFile
from netledger.compat.nacctd.process import fork_away, let_go
from netledger.compat.nacctd.said import Level, Said
from netledger.compat.nacctd.signals import signals
from netledger.compat.nacctd.syslog import NAME, Syslog, SyslogHandler
from netledger.compat.nacctd.users import Users
from netledger.errors import SourceError
from netledger.intervals import Clock, SystemClock
from netledger.signals import SignalPipe

__all__ = ["main"]

RUNTIME: Final = Path("/run/netledger/nacctd")
_STANDARD_ERROR: Final = 2
_ENDED = 1  # also after a signal: what starts and stops the old program knows it


def main(argv: Sequence[str] | None = None, program: str | None = None) -> int:
    """Runs ``nacctd`` with the words behind its name, until a signal ends it; gives the exit status.

    0 is only the parent of a daemon; anything else ends with 1, a signal too.
    """
    words = sys.argv[1:] if argv is None else argv
    called = sys.argv[0] if argv is None else NAME
    name = os.path.basename(program or called)  # noqa: PTH119 - a name need not be UTF-8
    clock = SystemClock()
    syslog = Syslog(clock)
    if os.geteuid() != 0:
        syslog.tell_as_user(Said(Level.ERR, "must be superuser to run nacctd\n"))
        return _ENDED
    try:
        options = parse_options(words, name)
    except RefusedError as refusal:
        os.write(_STANDARD_ERROR, os.fsencode(str(refusal)))
        return _ENDED
    syslog.tell(Said(Level.INFO, "net accounting daemon started"))
    table = _read(options.table, syslog)
    if table is None:
        syslog.info("net accounting daemon aborting")
        return _ENDED
    _tell_of_dump(table, syslog)
    # The working directory stays, and so relative names mean the same later.
    if not options.stays:
        try:
            if fork_away():
                syslog.info("net accounting daemon forked")
                return 0
        except OSError as error:
            syslog.error(f"couldn't fork: {_text(error)}")
            return _ENDED
        syslog.close()
        let_go()
    with ExitStack() as stack:
        return _account(table, lambda: _read_again(options.table, syslog), clock, syslog, stack)


def _read(path: str, syslog: Syslog) -> Table | None:
    """The settings in a naccttab; None when it is refused, and why has been told."""
    try:
        parsed = parse(Path(path).read_bytes())
    except OSError as error:
        syslog.error(f"config file: {path}: {_text(error)}")
        syslog.error("error reading config file")
        return None
    for said in parsed.said:
        syslog.tell(said)
    if parsed.table is None:
        syslog.error("error reading config file")
    return parsed.table


def _read_again(path: str, syslog: Syslog) -> Table | None:
    table = _read(path, syslog)
    return table if table is not None and _has_devices(table, syslog) else None


def _tell_of_dump(table: Table, syslog: Syslog) -> None:
    """Says whether there is a dump, before anything is touched: another instance may be running."""
    path = Path(table.dumpfile)
    try:
        path.stat()
    except FileNotFoundError:
        syslog.debug(f"no old dumpfile ({table.dumpfile}) exists")
    except OSError as error:
        syslog.error(f"error accessing dumpfile: {_text(error)}")
    else:
        syslog.debug(f"found old dumpfile ({table.dumpfile})")


def _account(table: Table, reload: Callable[[], Table | None], clock: Clock, syslog: Syslog, stack: ExitStack) -> int:
    """Everything behind the fork: the pid file first, so that a second instance touches nothing."""
    pid_file = PidFile(PIDFILE, syslog)
    stack.callback(pid_file.remove)
    try:
        if not pid_file.claim():
            syslog.error("daemon already running or stale pid-file")
            return _ENDED
    except OSError as error:
        syslog.error(f"error opening pid-file {PIDFILE}: {_text(error)}")
        return _ENDED
    debug = DebugFile(table.debugfile, table.debug, clock)
    stack.callback(debug.close)
    try:
        debug.open()
    except OSError as error:
        syslog.error(f"error opening debug file: {_text(error)}")
        syslog.info("net accounting daemon aborting")
        return _ENDED
    came = stack.enter_context(signals())
    handler = SyslogHandler(syslog)
    logging.getLogger("netledger").addHandler(handler)
    stack.callback(logging.getLogger("netledger").removeHandler, handler)
    if not _has_devices(table, syslog):
        syslog.info("net accounting daemon terminating (0)")
        return _ENDED
    number = _run_to_the_end(table, reload, clock, syslog, debug, came)
    if number is None:
        syslog.info("net accounting daemon aborting")
    else:
        pid_file.remove()
        syslog.info(f"net accounting daemon terminating ({number})")
    return _ENDED


def _run_to_the_end(
    table: Table,
    reload: Callable[[], Table | None],
    clock: Clock,
    syslog: Syslog,
    debug: DebugFile,
    came: SignalPipe,
) -> int | None:
    """The signal that has ended it; None when something else has, and what has been told."""
    try:
        return _run(table, reload, clock, syslog, debug, came)
    except (SourceError, OSError) as error:
        syslog.error(f"{error}: what has been counted is kept, and written after the next start")
    except Exception as error:  # noqa: BLE001  the top of the program: standard error leads nowhere
        where = traceback.extract_tb(error.__traceback__)[-1]
        syslog.error(f"{type(error).__name__}: {error} ({where.name}): what has been counted is kept")
    return None


def _run(
    table: Table,
    reload: Callable[[], Table | None],
    clock: Clock,
    syslog: Syslog,
    debug: DebugFile,
    came: SignalPipe,
) -> int:
    started = clock.now()
    book = Book(table, syslog)
    book.open(started)
    counting = PacketCounting(RUNTIME)
    users = Users(table, RUNTIME, syslog, debug)
    left = counting.open(table, started, absorbed=book.noted)
    users.recall()
    accounting = Accounting(
        table, book, counting, users, clock=clock, log=syslog, debug=debug, reload=reload, started=started
    )
    accounting.take(left)
    users.begin(started)
    return accounting.run(came)


def _has_devices(table: Table, syslog: Syslog) -> bool:
    """Whether the interfaces are there that are to be promiscuous."""
    error = missing_device(table.devices)
    if error is not None:
        syslog.error(f"can't get flags: {_text(error)}")
    return error is None


def _text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
