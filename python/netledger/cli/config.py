"""``netledger config``: look at the configuration."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
from pathlib import Path
from typing import Annotated

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config
from netledger.errors import UsageError

config = typer.Typer(name="config", help="Check the configuration, or show what is in effect.", no_args_is_help=True)


_File = Annotated[
    Path | None, typer.Argument(metavar="FILE", show_default=False, help="Configuration file, the same as --config.")
]


def _only_one(argument: Path | None, option: Path | None) -> Path | None:
    if argument is not None and option is not None:
        raise UsageError(f"{argument}, --config {option}", "", "only one file at a time")
    return argument or option


@config.command()
def check(argument: _File = None, *, file: ConfigFile = None) -> None:
    """Report every mistake with its line; exit code 2 if there is one."""
    from netledger.config import DEFAULT_PATH

    file = _only_one(argument, file)
    meters = len(load_config(file).meters)
    where = file or DEFAULT_PATH
    what = "ok" if where.exists() else "not there, so the defaults hold"
    typer.echo(f"{where}: {what}, {meters} {'meter' if meters == 1 else 'meters'}")


@config.command()
def show(argument: _File = None, *, file: ConfigFile = None, store: Store = None, json: Json = False) -> None:
    """Print the configuration that is in effect, every default included, as TOML."""
    from netledger.config import to_json, to_toml

    effective = load_config(_only_one(argument, file), store)
    sys.stdout.write(to_json(effective) if json else to_toml(effective))
