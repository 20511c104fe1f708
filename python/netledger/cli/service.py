"""``netledger service install``: the files for systemd."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

service = typer.Typer(name="service", help="The service: its files for systemd.", no_args_is_help=True)

_NEXT = """next:
  systemd-sysusers                          # makes the user netledger; without systemd: see the how-to
  editor /etc/netledger/netledger.toml
  netledger config check
  systemctl daemon-reload
  systemctl enable netledger-counters       # if a meter of named counters ensures some
  systemctl enable --now netledger"""


@service.callback()
def _service() -> None:
    """Makes this a group of commands, though it has one."""


@service.command()
def install(
    *,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Write below this directory instead, for who builds a package or image.")
    ] = Path("/"),
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the service is to start; default: this program.")
    ] = None,
) -> None:
    """Write the units, the user and a configuration to begin with, and say what to do next.

    It starts nothing. It can be repeated, as after an upgrade: a configuration that is there is never touched, and
    settings of your own in a drop-in of the unit stay.
    """
    from netledger.service.install import install as put

    for one in put(root, program=program or _this_program()):
        typer.echo(f"{one.done:<9}  {one.path}")
    typer.echo(_NEXT)


def _this_program() -> Path:
    # As it was called, so that a link such as /usr/local/bin/netledger stays the name it has.
    found = shutil.which(sys.argv[0])
    return Path(found or sys.argv[0]).absolute()
