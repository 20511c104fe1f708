"""``netledger read``: account the packets of a capture file."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import Json, is_for_people
from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.reports.capture import CaptureReport
    from netledger.sources.base import Key
    from netledger.sources.pcap import Progress

_EXIT_INCOMPLETE: Final = 3
# What is done sooner needs no progress bar.
_PATIENCE_SECONDS: Final = 0.5
# More rows than this are for programs.
_TABLE_ROWS: Final = 100

_Ipv4Bits = Annotated[int, typer.Option(metavar="BITS", min=0, max=32, help="Bits of an IPv4 address that are kept.")]
_Ipv6Bits = Annotated[int, typer.Option(metavar="BITS", min=0, max=128, help="Bits of an IPv6 address that are kept.")]
_Subject = Annotated[
    list[str] | None, typer.Option("--subject", hidden=True, help="No option of this command: a capture has none.")
]
_RowsMax = Annotated[
    int, typer.Option(metavar="N", min=1, max=1_000_000_000, help="Rows beyond this are added up as other.")
]
_Sort = Annotated[
    str, typer.Option(metavar="COLUMN", help="bytes, packets or a column; greatest counter or least key first.")
]
_Top = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Only the first N rows of each interval. Default: all; 100 in the table."),
]


def read(
    capture_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Capture in pcap or pcapng format; - is standard input.")
    ],
    *,
    key: Annotated[
        str,
        typer.Option(metavar="COLUMNS", help="What rows are added up by: host, peer, protocol, host_port, peer_port."),
    ] = "host",
    local: Annotated[
        list[str] | None,
        typer.Option(metavar="NET", help="Network that gets rows of its own; repeatable. Default: all addresses do."),
    ] = None,
    prefix_length_ipv4: _Ipv4Bits = 32,
    prefix_length_ipv6: _Ipv6Bits = 64,
    interval: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Keep rows apart by packet time, such as 5m. Default: one for all."),
    ] = None,
    rows_max: _RowsMax = 1_000_000,
    sort: _Sort = "bytes",
    top: _Top = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for programs.")] = False,
    json: Json = False,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Parquet file, for programs.")] = None,
    subject: _Subject = None,
) -> None:
    """Account the packets of a capture, each by the length in its IP header.

    Exit code 3: the capture ends in the middle of a packet or is damaged, and what comes before is accounted; or it
    has packets that are cut before the end of their IP header.
    """
    from netledger.reports.capture import report as reported
    from netledger.reports.files import require_directory
    from netledger.sources.base import Key
    from netledger.sources.pcap import PcapConfig, PcapSource

    _refuse_subjects(key, sort, subject)
    file = str(capture_file)
    is_table = is_for_people(csv=csv, json=json, parquet=parquet)
    spec = Key(
        columns=tuple(dict.fromkeys(key.split(","))),
        ipv4_prefix_length=prefix_length_ipv4,
        ipv6_prefix_length=prefix_length_ipv6,
        local=_networks(local),
    )
    _check_sort(sort, spec)
    config = PcapConfig(path=file, key=spec, rows_max=rows_max, interval_ns=_interval_ns(interval))
    if parquet is not None:
        require_directory(parquet)  # before a long capture is read in vain
    with _progress_bar() as progress:
        capture = PcapSource(config).read(progress)
    report = reported(capture, sort=sort, top=top or (_TABLE_ROWS if is_table else None))
    _print(report, csv=csv, json=json, parquet=parquet, is_top_given=top is not None)
    if capture.truncated is not None:
        _note(f"{file}: read: {capture.truncated}", "all whole packets before that are accounted")
    if report.cut is not None:
        _note(f"{file}: read: {report.cut}", "capture more of each packet, as with tcpdump -s 128")
    if capture.truncated is not None or report.cut is not None:
        raise typer.Exit(_EXIT_INCOMPLETE)


def _note(what: str, hint: str) -> None:
    typer.echo(f"netledger: {what}", err=True)
    typer.echo(f"hint: {hint}", err=True)


def _print(report: "CaptureReport", *, csv: bool, json: bool, parquet: Path | None, is_top_given: bool) -> None:
    from netledger.exports.files import export_error
    from netledger.reports import files, tables

    is_table = not (csv or json or parquet)
    for warning in [] if is_table else report.warnings:
        typer.echo(f"netledger: {report.capture.config.path}: {warning}", err=True)
    try:
        if is_table:
            tables.print_table(report.rows, [*report.lines, *report.warnings], sys.stdout, is_top_given=is_top_given)
        elif parquet is not None:
            files.write_parquet(report.rows, report.to_json(), parquet)
        elif json:
            files.write_json(report.rows, report.to_json(), sys.stdout.buffer)
        else:
            files.write_csv(report.rows, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` does. What is still buffered must not fail when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise export_error(Path("standard output"), "write", error) from error


def _refuse_subjects(key: str, sort: str, subject: list[str] | None) -> None:
    for option, is_asked in (
        ("--subject", bool(subject)),
        ("--key subject", "subject" in key.split(",")),
        ("--sort subject", sort == "subject"),
    ):
        if is_asked:
            hint = "who had an address is known of what the ledger holds: netledger report --by subject"
            raise UsageError(option, "", "a capture has no subjects", hint)


def _check_sort(sort: str, key: "Key") -> None:
    from netledger.reports.rows import SORT_SUMS
    from netledger.schema import COUNTER_COLUMNS

    known = (*SORT_SUMS, *COUNTER_COLUMNS, *key.columns)
    if sort not in known:
        raise UsageError(f"--sort {sort}", "", f"not among the columns; there are {', '.join(known)}")


def _interval_ns(text: str | None) -> int:
    if text is None:
        return 0
    from netledger.config.options import interval_seconds

    return interval_seconds("--interval", text) * 1_000_000_000


def _networks(local: list[str] | None) -> tuple[str, ...]:
    if not local:
        return ()
    from netledger.config.options import networks

    return networks("--local", local)


@contextmanager
def _progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """A bar on the terminal, once reading has taken a while; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    due = time.monotonic() + _PATIENCE_SECONDS
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("read")

    def show(progress: "Progress") -> None:
        if time.monotonic() > due:
            bar.update(task, completed=progress.position_bytes, total=progress.size_bytes)
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
