"""The command: reads the flags, starts up in the old program's order, and accounts until a signal comes."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from netledger.compat.go_nflog_acctd.accounting import Accounting
from netledger.compat.go_nflog_acctd.files import Journal, make_directories
from netledger.compat.go_nflog_acctd.flags import FlagError, HelpAsked
from netledger.compat.go_nflog_acctd.log import Log, SyslogError
from netledger.compat.go_nflog_acctd.messages import binding_lines, monitoring_line
from netledger.compat.go_nflog_acctd.options import Group, Options, parse_options, problem_of, usage_text
from netledger.compat.go_nflog_acctd.signals import EndSignals
from netledger.compat.go_nflog_acctd.translate import GroupsMeter, rows_of, runtime_directory
from netledger.errors import GroupBusyError, InUseError, PermissionDeniedError, SourceError
from netledger.exports.gotext import errno_text, moment_text, quote
from netledger.intervals import Clock, SystemClock
from netledger.sources.privileges import CAP_NET_ADMIN, has_capability

__all__ = ["main"]

_NAME = "go-nflog-acctd"
_STANDARD_ERROR = 2
_NOT_PERMITTED = "operation not permitted"
_NO_CAPABILITY = f"nflog_bind_pf failed: {_NOT_PERMITTED} (CAP_NET_ADMIN is missing; run as root)"
_NICE_LIMIT = 1 << 16  # the kernel cuts what is beyond -20 and 19; this keeps it within a C integer


class _EndError(Exception):
    """The program cannot start or go on; the text is the line to log."""


def main(argv: Sequence[str] | None = None, program: str | None = None) -> int:
    """Runs ``go-nflog-acctd`` with the words behind its name, until a signal ends it; gives the exit status.

    0 is done or help, 1 a failed start or an unwritten period, 2 a refused command line.
    """
    words = sys.argv[1:] if argv is None else argv
    called = sys.argv[0] if argv is None else _NAME
    name = os.path.basename(program or called)  # noqa: PTH119 - a name need not be UTF-8
    try:
        options = parse_options(words)
    except HelpAsked:
        _tell(usage_text(name))
        return 0
    except FlagError as refusal:
        _tell(f"{refusal}\n{usage_text(name)}")
        return 2
    clock = SystemClock()
    log = Log(clock, program=name, verbose=options.verbose)
    with EndSignals() as signals:
        try:
            return _start_up_and_run(options, clock, log, signals)
        except _EndError as error:
            log.line(str(error))
            return 1


def _tell(text: str) -> None:
    with suppress(OSError):
        os.write(_STANDARD_ERROR, os.fsencode(text))


def _start_up_and_run(options: Options, clock: Clock, log: Log, signals: EndSignals) -> int:
    problem = problem_of(options)
    if problem is not None:
        raise _EndError(problem)
    try:
        make_directories(options.log_directory)
    except OSError as error:
        directory = quote(options.log_directory)
        cause = f"mkdir {error.filename}: {errno_text(error)}"
        raise _EndError(f"Failed to make log directory {directory}: {cause}") from error
    if options.syslog:
        try:
            log.to_syslog()
        except SyslogError as error:
            raise _EndError(f"Failed to start syslog: {error}") from error
    for flag in options.without_effect:
        log.line(f"-{flag} has no effect: there is no Go runtime here")
    _set_priority(options.priority, log)
    _refuse_groups(options.groups, log)
    return _run(options, clock, log, signals)


def _set_priority(priority: int, log: Log) -> None:
    try:
        os.setpriority(os.PRIO_PGRP, 0, max(-_NICE_LIMIT, min(priority, _NICE_LIMIT)))
    except OSError as error:
        log.line(f"Failed to set priority {priority}: {errno_text(error)}")


def _refuse_groups(groups: tuple[Group, ...], log: Log) -> None:
    """Finds what opening the groups would fail on, without touching anything.

    Raises:
        _EndError: none was given, one was given twice, or a capability is missing.
    """
    if not groups:
        raise _EndError("Not monitoring any groups - exiting")
    if not has_capability(CAP_NET_ADMIN):
        _announce(groups[:1], log, opened=0)
        raise _EndError(_NO_CAPABILITY)
    owners: dict[int, str] = {}
    for index, group in enumerate(groups):
        owner = owners.setdefault(group.number, group.flag)
        if owner != group.flag:
            _announce(groups[: index + 1], log, opened=index)
            why = f"group {group.number} is taken by -{owner} already; use two groups"
            raise _EndError(f"nflog_bind_group failed: {_NOT_PERMITTED} ({why})")


def _announce(groups: tuple[Group, ...], log: Log, *, opened: int) -> None:
    """Tells of groups as the old program did when it had opened so many of them and failed at the next."""
    for index, group in enumerate(groups):
        log.line(monitoring_line(group))
        family, socket, copying = binding_lines(group)
        log.detail(family)
        log.detail(socket)
        if index < opened:
            log.detail(copying)


def _run(options: Options, clock: Clock, log: Log, signals: EndSignals) -> int:
    runtime = runtime_directory(options)
    meter = GroupsMeter(options, runtime)
    started = clock.now()
    try:
        left_over = meter.open(started)
    except GroupBusyError as error:
        failed = _index_of(options.groups, error.subject)
        _announce(options.groups[: failed + 1], log, opened=failed)
        raise _EndError(f"nflog_bind_group failed: {_NOT_PERMITTED} ({error.cause})") from error
    except PermissionDeniedError as error:
        _announce(options.groups[:1], log, opened=0)
        raise _EndError(_NO_CAPABILITY) from error
    except SourceError as error:
        raise _EndError(_why_not_opened(error, options)) from error
    except OSError as error:
        raise _EndError(f"Failed to use the runtime directory {quote(str(runtime))}: {errno_text(error)}") from error
    accounting = Accounting(options, meter, rows_of, clock=clock, journal=Journal(runtime / "files.json"), log=log)
    _announce(options.groups, log, opened=len(options.groups))
    for period in left_over:
        log.line(f"Recovered what a killed process had counted since {moment_text(period.start.wall_ns)}")
    accounting.take(left_over)
    try:
        return accounting.run(started, signals)
    except (SourceError, OSError) as error:
        raise _EndError(f"{error}: what has been counted is kept, and written at the next start") from error


def _why_not_opened(error: SourceError, options: Options) -> str:
    """The meter has no name that the user has ever given; its log directory has."""
    if isinstance(error, InUseError):
        directory = quote(options.log_directory)
        why = "stop it first, or use another -log-directory or -runtime-directory"
        return f"Failed to use log directory {directory}: {error.cause} ({why})"
    return f"{error} ({error.hint})" if error.hint else str(error)


def _index_of(groups: tuple[Group, ...], subject: str) -> int:
    """The group that an error is about; the last one when it does not say."""
    names = [f"nflog group {group.number}" for group in groups]
    return names.index(subject) if subject in names else len(names) - 1
