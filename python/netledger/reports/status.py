"""How a running daemon is, for people: a table of its meters, and what is wrong beneath."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TextIO

from netledger.live.shape import DaemonStatus, LastCommit, MeterStatus, ProblemStatus
from netledger.receipt import Count, parse_rfc3339, rfc3339
from netledger.reports.aligned import Column, fits, lines, width_of
from netledger.reports.remarks import counted, duration
from netledger.reports.units import Unit, shown_bytes

if TYPE_CHECKING:
    from rich.console import Console, Group

_SECOND_NS: Final = 1_000_000_000
_PIPE_COLUMNS: Final = 1000
_COLUMNS: Final = ("meter", "open", "rows", "packets/s", "bytes/s", "lost", "waiting", "last commit")
_SOURCES: Final = ("attribution", "source", "state", "facts", "refused", "last learnt")
_RIGHT: Final = frozenset({"rows", "packets/s", "bytes/s", "lost", "waiting", "facts", "refused"})
_LIMITED: Final = frozenset({"open", "rows"})
_LIMIT: Final = " of "
_UNKNOWN: Final = "-"


def console(file: TextIO) -> "Console":
    """Where a status is printed: as wide as the terminal, and never folded in a pipe."""
    from rich.console import Console  # noqa: PLC0415  # commands that print no table do without

    width = None if file.isatty() else _PIPE_COLUMNS
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def print_status(status: DaemonStatus, file: TextIO) -> None:
    """Prints all of it; in a pipe without blanks at the ends of lines."""
    if file.isatty():
        console(file).print(shown(status, width_of(file)))
        return
    plain = console(io.StringIO())
    with plain.capture() as captured:
        plain.print(shown(status))
    file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def shown(status: DaemonStatus, width: int | None = None) -> "Group":
    """All of it, to be printed on a terminal so wide; without a width in lines as long as they are."""
    from rich.console import Group  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    parts = [Text(line) for line in _head(status)]
    if status.meters:
        title, *rows = _table(_columns(status), width)
        parts += [Text(), Text(title, style="bold", no_wrap=True), *(Text(row, no_wrap=True) for row in rows)]
    parts += [Text(line) for meter in status.meters for line in _source(meter)]
    if status.attribution:
        title, *rows = lines(_attribution(status))
        parts += [Text(), Text(title, style="bold", no_wrap=True), *(Text(row, no_wrap=True) for row in rows)]
    parts += [Text(line) for line in _refused(status)]
    parts.append(Text())
    if not status.problems:
        parts.append(Text("all is well", style="green"))
    for problem in status.problems:
        parts.append(Text(_problem(problem, status), style="bold red"))
        if problem.hint is not None:
            parts.append(Text(f"  hint: {problem.hint}"))
    return Group(*parts)


def _head(status: DaemonStatus) -> Iterator[str]:
    running = duration(_since_ns(status.started_at, status))
    yield f"netledger {status.version} on {status.node}, pid {status.pid}, runs for {running}"
    yield f"store {status.store}, runtime {status.runtime}"


def _source(meter: MeterStatus) -> Iterator[str]:
    """What a meter is counted by, where that was not asked for, and where."""
    if meter.source_why is not None:
        yield f"{meter.name} is counted by {meter.source}: {meter.source_why}"
    if meter.source_better is not None:
        yield f"  for bpf: {meter.source_better}"
    if meter.netns is not None:
        yield f"{meter.name} counts in the network namespace {meter.netns}"


def _columns(status: DaemonStatus) -> list[Column]:
    columns = [Column(name, [], "", name in _RIGHT) for name in _COLUMNS]
    for meter in status.meters:
        for column, cell in zip(columns, _cells(meter, status), strict=True):
            column.cells.append(cell)
    return columns


def _table(columns: list[Column], width: int | None) -> list[str]:
    """The lines of the table; without limits where they have no room, then with each last commit beneath its meter."""
    if width is None or fits(columns, width):
        return lines(columns)
    short = [
        replace(one, cells=[cell.split(_LIMIT)[0] for cell in one.cells]) if one.title in _LIMITED else one
        for one in columns
    ]
    if fits(short, width):
        return lines(short)
    *numbers, last = short
    title, *rows = lines(numbers)
    both = zip(rows, last.cells, strict=True)
    return [title, *(line for row, commit in both for line in (row, f"  {last.title}: {commit}"))]


def _cells(meter: MeterStatus, status: DaemonStatus) -> list[str]:
    age = None if meter.interval_age_seconds is None else duration(meter.interval_age_seconds * _SECOND_NS)
    rate = meter.bytes_per_second
    waiting = f"{meter.intervals_waiting:,}{' + export' if meter.is_export_due else ''}"
    return [
        meter.name,
        f"{age or _UNKNOWN} of {duration(meter.interval_seconds * _SECOND_NS)}",
        f"{_number(meter.rows)} of {meter.rows_max:,}",
        _number(meter.packets_per_second),
        _UNKNOWN if rate is None else shown_bytes(rate, Unit.AUTO),
        _number(meter.lost_packets),
        waiting,
        "none yet" if meter.last_commit is None else _commit(meter.last_commit, status),
    ]


def _attribution(status: DaemonStatus) -> list[Column]:
    columns = [Column(name, [], "", name in _RIGHT) for name in _SOURCES]
    for one in status.attribution:
        last = _UNKNOWN if one.last_learnt is None else f"{duration(_since_ns(one.last_learnt, status))} ago"
        lasts = duration(_since_ns(one.since, status))
        cells = (one.name, one.source, f"{one.state} for {lasts}", f"{one.facts:,}", f"{one.refused:,}", last)
        for column, cell in zip(columns, cells, strict=True):
            column.cells.append(cell)
    return columns


def _refused(status: DaemonStatus) -> Iterator[str]:
    """Why sources of attribution are not believed in all, what happens most first."""
    for one in status.attribution:
        for why, count in sorted(one.refused_reasons.items(), key=lambda reason: (-reason[1], reason[0])):
            yield f"{one.name} refused {count:,}: {why}"


def _commit(commit: LastCommit, status: DaemonStatus) -> str:
    ago = duration(_since_ns(commit.committed_at, status))
    return f"{commit.seq:,} {commit.status}, {ago} ago"


def _problem(problem: ProblemStatus, status: DaemonStatus) -> str:
    whose = "" if problem.meter is None else f", meter {problem.meter}"
    whose += "" if problem.export is None else f", export {problem.export}"
    lasts = duration(_since_ns(problem.since, status))
    return f"{problem.what}{whose}, for {lasts}: {problem.why}"


def _since_ns(text: str, status: DaemonStatus) -> int:
    # The wall clock may have been stepped since.
    return max(0, parse_rfc3339(status.now) - parse_rfc3339(text))


def _number(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def counts_on_line(meter: str, total: Count | None, *, since_ns: int | None, looked_ns: int | None) -> str:
    """What the kernel counts for a meter while nobody runs. Times are UTC nanoseconds, None where nothing tells them.

    ``total`` is None where the kernel could not be asked, and only what was written down says that it counts.
    """
    since = "" if since_ns is None else f" since {rfc3339(since_ns)}"
    parts = [f"the kernel counts on{since}"]
    if total is None:
        parts.append("how much this user may not see")
    else:
        parts.append(f"{counted(total.packets, 'packet')}, {shown_bytes(total.bytes, Unit.AUTO)} so far")
    if looked_ns is not None:
        parts.append(f"nobody has looked since {rfc3339(looked_ns)}")
    if total is not None and since_ns is None:
        # Without the start of its interval it is of no time, and so in no interval.
        parts.append(
            "what was noted of its interval is gone: the next start says how much it was, and books none of it"
        )
    else:
        parts.append("the next start books it")
    return f"meter {meter}: {'; '.join(parts)}"


def waiting_line(meter: str, generations: int) -> str:
    """What lies in the runtime directory of a meter while nobody runs."""
    return f"meter {meter}: {counted(generations, 'generation')} in the runtime directory, committed at the next start"
