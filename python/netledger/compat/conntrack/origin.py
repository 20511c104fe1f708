"""Which program is behind a netlink socket."""

import os
import re
from pathlib import Path
from typing import Final

__all__ = ["program_of"]

_SOCKETS: Final = Path("/proc/thread-self/net/netlink")
_NETFILTER: Final = "12"
_PROC: Final = Path("/proc")
_NAME = re.compile(rb"\d+ \(([^)]*)\)", re.DOTALL)


def program_of(portid: int) -> str | None:
    """The name of the program with the netfilter socket of that number in this network namespace.

    None when the socket is gone or the process may not be looked into. Reads all of /proc if it has to.
    """
    inode = _inode_of(portid)
    if inode is None:
        return None
    target = f"socket:[{inode}]"
    # Many sockets have the number of their process.
    for process in (_PROC / str(portid), *_PROC.glob("[0-9]*")):
        if _holds(process, target):
            return _name_of(process)
    return None


def _inode_of(portid: int) -> str | None:
    try:
        lines = _SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines[1:]:
        words = line.split()
        # sk, protocol, port, …, inode
        if words[1:3] == [_NETFILTER, str(portid)]:
            return words[-1]
    return None


def _holds(process: Path, target: str) -> bool:
    try:
        return any(os.readlink(entry) == target for entry in os.scandir(process / "fd"))  # noqa: PTH115 - a socket is no path
    except OSError:
        return False


def _name_of(process: Path) -> str | None:
    try:
        found = _NAME.match((process / "stat").read_bytes())
    except OSError:
        return None
    return found[1].decode(errors="surrogateescape") if found else None
