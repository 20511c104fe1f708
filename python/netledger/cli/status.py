"""``netledger status``: does it count, how much, and what is wrong?"""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, readable_config
from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.config import Config
    from netledger.errors import NetledgerError
    from netledger.live import Client, DaemonStatus

_EXIT_FAILED: Final = 1
_EXIT_WRONG: Final = 3
_EVERY_SECONDS: Final = 2.0


def status(
    *,
    seconds: Annotated[
        float | None,
        typer.Argument(
            metavar="SECONDS", min=0.1, show_default=False, help="With --watch, how long between two looks. Default: 2."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Say how the daemon that runs here is: its meters, what they count now, and what is wrong, with a hint.

    Exit code 3: it counts, but something is wrong. Exit code 1: none runs here.
    """
    from netledger.errors import NotRunningError
    from netledger.live import Client

    if seconds is not None and not watch:
        raise UsageError(f"SECONDS {seconds}", "", "only with --watch", "netledger status --watch 5")
    settings = readable_config(config, needed=("runtime", "store")).config
    client = Client(Path(settings.runtime))
    if watch:
        _watch(client, seconds or _EVERY_SECONDS, json=json)
    try:
        found = client.status()
    except NotRunningError:
        _print_absent(settings, json=json)
        raise
    if json:
        typer.echo(_json(found, indent=2))
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(_EXIT_WRONG)


def _json(found: "DaemonStatus", indent: int | None = None) -> str:
    from dataclasses import asdict

    return json_text.dumps({"is_running": True, **asdict(found)}, ensure_ascii=False, indent=indent)


def _print(found: "DaemonStatus") -> None:
    from netledger.reports.status import print_status

    print_status(found, sys.stdout)


def _print_absent(config: "Config", *, json: bool) -> None:
    """What lies there all the same, on standard output; the error itself follows."""
    from netledger.daemon.absent import look
    from netledger.receipt import rfc3339
    from netledger.reports.status import counts_on_line, waiting_line

    found = look(config)
    commits = {
        name: {
            "seq": one.seq,
            "interval_end": rfc3339(one.end_ns),
            "status": str(one.status),
            "committed_at": rfc3339(one.committed_ns),
        }
        for name, one in found.newest.items()
    }
    if json:
        counting = {
            one.meter: {
                "since": None if one.since_ns is None else rfc3339(one.since_ns),
                "looked_at": None if one.looked_ns is None else rfc3339(one.looked_ns),
                "packets": None if one.counted is None else one.counted.packets,
                "bytes": None if one.counted is None else one.counted.bytes,
            }
            for one in found.counting
        }
        told = {
            "is_running": False,
            "kernel_counts": counting,
            "generations": found.generations,
            "last_commits": commits,
        }
        typer.echo(json_text.dumps(told, ensure_ascii=False, indent=2))
        return
    for one in found.counting:
        typer.echo(counts_on_line(one.meter, one.counted, since_ns=one.since_ns, looked_ns=one.looked_ns))
    for name, generations in found.generations.items():
        typer.echo(waiting_line(name, generations))
    for name, commit in commits.items():
        typer.echo(
            f"meter {name}: last commit {commit['seq']} {commit['status']}, ends {commit['interval_end']}, "
            f"in {config.store}"
        )
    if found.store_error is not None:
        typer.echo(f"store: {found.store_error}")


def _watch(client: "Client", seconds: float, *, json: bool) -> None:
    """Never ends by itself: a daemon that is restarted is seen again."""
    from netledger.errors import LiveError

    if sys.stdout.isatty() and not json:
        _redraw(client, seconds)
    while True:
        try:
            found = client.status()
        except LiveError as error:
            _tell_absent(error, json=json)
        else:
            if json:
                typer.echo(_json(found))
            else:
                _print(found)
                typer.echo("")
        sys.stdout.flush()
        time.sleep(seconds)


def _tell_absent(error: "NetledgerError", *, json: bool) -> None:
    if json:
        typer.echo(json_text.dumps({"is_running": False, "why": str(error)}, ensure_ascii=False))
    else:
        typer.echo(f"{error}\n")


def _redraw(client: "Client", seconds: float) -> None:
    """One picture in one place, on a terminal."""
    from rich.live import Live
    from rich.text import Text

    from netledger.errors import LiveError
    from netledger.reports.aligned import width_of
    from netledger.reports.status import console, shown

    with Live(console=console(sys.stdout), auto_refresh=False, transient=False, vertical_overflow="crop") as picture:
        while True:
            try:
                picture.update(shown(client.status(), width_of(sys.stdout)), refresh=True)
            except LiveError as error:
                picture.update(Text(str(error)), refresh=True)
            time.sleep(seconds)
