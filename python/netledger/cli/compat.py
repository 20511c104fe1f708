"""``netledger compat``: commands of older programs, with their own arguments."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from collections.abc import Callable, Sequence
from typing import Final

import typer

compat = typer.Typer(
    name="compat", help="Commands of older accounting programs, with their own arguments.", no_args_is_help=True
)


def _go_nflog_acctd(arguments: Sequence[str]) -> int:
    from netledger.compat.go_nflog_acctd.main import main

    return main(list(arguments))


def _nfacct(arguments: Sequence[str]) -> int:
    from netledger.compat.nfacct.main import main

    return main(list(arguments))


def _conntrack(arguments: Sequence[str]) -> int:
    from netledger.compat.conntrack.main import main

    return main(list(arguments))


def _nacctd(arguments: Sequence[str]) -> int:
    from netledger.compat.nacctd.main import main

    return main(list(arguments))


_TOOLS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "go-nflog-acctd": _go_nflog_acctd,
    "nfacct": _nfacct,
    "conntrack": _conntrack,
    "nacctd": _nacctd,
}


def forward(arguments: Sequence[str]) -> int | None:
    """Runs ``compat TOOL …`` with what follows untouched, and gives its exit code; None for any other command."""
    match arguments:
        case ["compat", name, *rest] if name in _TOOLS:
            return _TOOLS[name](rest)
        case _:
            return None


@compat.command("go-nflog-acctd", add_help_option=False)
def go_nflog_acctd() -> None:
    """Bytes and packets by address from NFLOG groups, one CSV file for each period."""
    # Only listed here, for --help: `forward` has run it before.


@compat.command("nfacct", add_help_option=False)
def nfacct() -> None:
    """The kernel's named counters, which iptables rules with -m nfacct count into."""
    # Only listed here, as the one before.


@compat.command("conntrack", add_help_option=False)
def conntrack() -> None:
    """The flows of the kernel's connection tracking, and what happens to them."""
    # Only listed here, as the first one.


@compat.command("nacctd", add_help_option=False)
def nacctd() -> None:
    """The daemon of net-acct: a line in a log for each flow on an interface, with the user of its address."""
    # Only listed here, as the first one.
