"""``netledger config``: look at the configuration."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config
from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.config import ConfigError

_EXIT_REFUSED: Final = 2

config = typer.Typer(name="config", help="Check the configuration, or show what is in effect.", no_args_is_help=True)


_File = Annotated[
    Path | None, typer.Argument(metavar="FILE", show_default=False, help="Configuration file, the same as --config.")
]


def _only_one(argument: Path | None, option: Path | None) -> Path | None:
    if argument is not None and option is not None:
        raise UsageError(f"{argument}, --config {option}", "", "only one file at a time")
    return argument or option


@config.command()
def check(argument: _File = None, *, file: ConfigFile = None, json: Json = False) -> None:
    """Report every mistake with its line; exit code 2 if there is one."""
    from netledger.config import DEFAULT_PATH, ConfigError

    file = _only_one(argument, file)
    try:
        meters = len(load_config(file).meters)
    except ConfigError as error:
        if not json:
            raise
        typer.echo(_json(error.file, None, error))
        raise typer.Exit(_EXIT_REFUSED) from error
    if json:
        typer.echo(_json(str(file or DEFAULT_PATH), meters, None))
        return
    where = file or DEFAULT_PATH
    what = "ok" if where.exists() else "not there, so the defaults hold"
    typer.echo(f"{where}: {what}, {meters} {'meter' if meters == 1 else 'meters'}")


def _json(file: str, meters: int | None, error: "ConfigError | None") -> str:
    told = {"file": file, "meters": meters, "problems": [] if error is None else error.to_json()}
    return json_text.dumps(told, ensure_ascii=False, indent=2)


@config.command()
def show(argument: _File = None, *, file: ConfigFile = None, store: Store = None, json: Json = False) -> None:
    """Print the configuration that is in effect, every default included, as TOML."""
    from netledger.config import to_json, to_toml

    effective = load_config(_only_one(argument, file), store)
    sys.stdout.write(to_json(effective) if json else to_toml(effective))
