"""Whether a command that touches the kernel's objects is where the daemon is."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from pathlib import Path
from typing import TYPE_CHECKING, Final

from netledger.errors import SourceError

if TYPE_CHECKING:
    from netledger.config import Config

_SECONDS: Final = 3.0


def require_daemons_namespace(settings: "Config", what: str) -> None:
    """Nothing happens where no daemon runs with this configuration, or where it may not be asked.

    Raises:
        SourceError: it is in another network namespace.
    """
    if (error := other_namespace(settings, what)) is not None:
        raise error


def other_namespace(settings: "Config", what: str) -> SourceError | None:
    """Why ``what`` looks at other objects than the daemon does, or None. Blocks for some seconds at most."""
    from netledger.errors import LiveError
    from netledger.live import Client, namespace

    try:
        daemon = Client(Path(settings.runtime), timeout_seconds=_SECONDS).status()
    except LiveError:
        return None
    here, there = namespace.own(), daemon.network_namespace
    if here is None or there is None or here == there:
        return None
    hint = f"{namespace.way_into(there, daemon.pid)} netledger …, or another configuration by --config"
    return SourceError(what, "", f"the daemon, pid {daemon.pid}, is in another network namespace", hint)
