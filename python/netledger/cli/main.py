"""The ``netledger`` command: its subcommands, and errors as messages and exit codes.

Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 done, but not all numbers asked for are proven or complete;
4 the store is not what was committed.
"""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
from typing import Annotated, Final

import typer

from netledger.cli.assign import assign, unassign
from netledger.cli.assignments import assignments
from netledger.cli.audit import audit
from netledger.cli.compat import compat, forward
from netledger.cli.config import config
from netledger.cli.counters import counters
from netledger.cli.files import files
from netledger.cli.flows import flows
from netledger.cli.import_ import import_
from netledger.cli.maintain import maintain
from netledger.cli.man import man
from netledger.cli.quota import quota
from netledger.cli.read import read
from netledger.cli.report import report
from netledger.cli.run import run
from netledger.cli.service import service
from netledger.cli.status import status
from netledger.cli.subjects import subjects
from netledger.errors import NetledgerError, UsageError

_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130  # as shells have it for SIGINT

app = typer.Typer(
    name="netledger",
    help="Audit-grade IP traffic accounting: who used how many bytes and packets, with proof.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Typer's panels would show Python's types, and a value for options that take none.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(status)
app.command()(read)
app.command()(audit)
app.command()(files)
app.command()(flows)
app.command(name="import")(import_)
app.command()(maintain)
app.command()(report)
app.command()(subjects)
app.command()(man)
app.command()(assign)
app.command()(unassign)
app.add_typer(assignments)
app.add_typer(config)
app.add_typer(counters)
app.add_typer(quota)
app.add_typer(service)
app.add_typer(compat)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  # Typer calls it so
    if is_asked:
        from netledger import __version__

        typer.echo(f"netledger {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Runs the command line of this process, and exits."""
    try:
        # The arguments of an old command are its own business: Typer would read some of them as its own.
        sys.exit(code) if (code := forward(sys.argv[1:])) is not None else app()
    except NetledgerError as error:
        sys.exit(_report(error))
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


def _report(error: NetledgerError) -> int:
    """Prints an error for people, and gives its exit code."""
    # Imported here, so that a command without a configuration does not load what reads one.
    from netledger.config.problems import ConfigError

    if isinstance(error, ConfigError):
        # FILE:LINE comes first: editors and people jump there.
        typer.echo(str(error), err=True)
        return _EXIT_USAGE
    typer.echo(f"netledger: {error}", err=True)
    if error.hint is not None:
        typer.echo(f"hint: {error.hint}", err=True)
    return _EXIT_USAGE if isinstance(error, UsageError) else _EXIT_FAILED
