"""Options that several commands have, and what they mean."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netledger.errors import UsageError

if TYPE_CHECKING:
    from netledger.config import Config
    from netledger.config.readable import Readable
    from netledger.receipt import Count

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", readable=False, help="Configuration file; default /etc/netledger/netledger.toml."
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", readable=False, help="Directory of what is durable, instead of the configured."
    ),
]
BillingDay = Annotated[
    int, typer.Option(metavar="DAY", help="Months begin on this day, 1 to 31; in a shorter month on its last day.")
]
Timezone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Whose days, as in Europe/Berlin or UTC. Default: the machine's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def load_config(file: Path | None, store: Path | None = None) -> "Config":
    """The configuration, with what the command line sets instead.

    Raises:
        ConfigError: the file cannot be read, or is refused.
    """
    from netledger.config import load

    config = load(file)
    return config if store is None else config.model_copy(update={"store": str(store.absolute())})


def readable_config(file: Path | None, store: Path | None = None, *, needed: tuple[str, ...]) -> "Readable":
    """The configuration for a command that needs some directories of it, and takes them from a refused file too.

    ``needed`` are their keys. What is wrong with the file is told on standard error.

    Raises:
        ConfigError: the file cannot be read, or does not say for certain where they are.
    """
    from netledger.config.readable import Readable, read

    found = read(file, needed=[key for key in needed if key != "store" or store is None])
    config = found.config if store is None else found.config.model_copy(update={"store": str(store.absolute())})
    if found.refused is not None:
        places = " and ".join(f"{key} = {getattr(config, key)}" for key in needed)
        typer.echo(f"{found.refused}\nnetledger: this file is refused; this goes by {places} all the same", err=True)
    return Readable(config, found.refused)


def is_for_people(*, csv: bool, json: bool, parquet: Path | None) -> bool:
    """Whether a table is asked for, and not one of the forms for programs.

    Raises:
        UsageError: several of those.
    """
    if csv + json + (parquet is not None) > 1:
        raise UsageError("--csv, --json, --parquet", "", "only one of them at a time")
    return not (csv or json or parquet)


def one_of(option: str, text: str, known: Sequence[str]) -> str:
    """One of the words that are known, however it was spelt.

    Raises:
        UsageError: it is none of them.
    """
    for one in known:
        if text.lower() == one.lower():
            return one
    raise UsageError(f"{option} {text}", "", "not possible here", f"there are {', '.join(known)}")


@contextmanager
def standard_output() -> Iterator[None]:
    """What is printed is out at the end; what the system refuses is an error of its own.

    Raises:
        ExportError: the disk behind it is full, or whatever it leads to refuses.
    """
    from netledger.exports.files import export_error

    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read has seen enough; Typer ends quietly
    except OSError as error:
        raise export_error(Path("standard output"), "write", error) from error


def print_restored(objects: "Sequence[tuple[str, Count | None]]", *, json: bool) -> None:
    """Which of the kernel's objects were made, and with what; those with None were there."""
    if json:
        told = [
            {
                "name": name,
                "is_made": made is not None,
                "packets": None if made is None else made.packets,
                "bytes": None if made is None else made.bytes,
            }
            for name, made in objects
        ]
        typer.echo(json_text.dumps(told, ensure_ascii=False, indent=2))
        return
    for name, made in objects:
        if made is None:
            typer.echo(f"{name} is there")
        else:
            typer.echo(f"made {name}, with {made.packets:,} packets, {made.bytes:,} bytes")
