"""``netledger man``: manual pages for this machine."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer


def man(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where manuals lie, as in /usr/local/share/man; man1 and man5 are made."),
    ],
) -> None:
    """Write the manual pages: netledger(1), one for each command, and netledger.toml(5)."""
    from netledger.cli.main import app
    from netledger.cli.manual import pages
    from netledger.exports.files import write_atomically

    written = pages(typer.main.get_command(app))
    for name, text in written.items():
        path = directory / f"man{name.rpartition('.')[2]}" / name
        write_atomically(path, partial(_write, text=text))
        path.chmod(0o644)
    typer.echo(f"{directory}: {len(written)} pages")


def _write(file: BinaryIO, *, text: str) -> None:
    file.write(text.encode())
