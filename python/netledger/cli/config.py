"""``netledger config``: look at the configuration."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config

config = typer.Typer(name="config", help="Check the configuration, or show what is in effect.", no_args_is_help=True)


@config.command()
def check(file: ConfigFile = None) -> None:
    """Report every mistake with its line; exit code 2 if there is one."""
    from netledger.config import DEFAULT_PATH

    meters = len(load_config(file).meters)
    where = file or DEFAULT_PATH
    what = "ok" if where.exists() else "not there, so the defaults hold"
    typer.echo(f"{where}: {what}, {meters} {'meter' if meters == 1 else 'meters'}")


@config.command()
def show(*, file: ConfigFile = None, store: Store = None, json: Json = False) -> None:
    """Print the configuration that is in effect, every default included, as TOML."""
    from netledger.config import to_json, to_toml

    effective = load_config(file, store)
    sys.stdout.write(to_json(effective) if json else to_toml(effective))
