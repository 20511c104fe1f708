"""Who holds an NFLOG group: from the kernel's list of groups to a process.

All files are read in the network namespace of the calling thread (``/proc/thread-self``; ``/proc/net`` would be that of
the main thread). Everything here may have changed a moment later: use it for messages and first guesses only.
"""

import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from netledger.errors import GroupBusyError, PermissionDeniedError, SourceError
from netledger.sources.privileges import CAP_NET_ADMIN, has_capability, hint

FIRST_GROUP = 30_000  # people's own rules use low numbers
LAST_GROUP = 65_535
NETLINK_NETFILTER = 12
GROUPS = Path("/proc/thread-self/net/netfilter/nfnetlink_log")
SOCKETS = Path("/proc/thread-self/net/netlink")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds an NFLOG group."""

    pid: int
    command: str


def bound_groups() -> dict[int, int]:
    """NFLOG groups that somebody listens to, each with the netlink port id of the listener."""
    return read_groups(_text(GROUPS))


def two_free_groups(taken: AbstractSet[int]) -> tuple[int, int]:
    """The two lowest groups of our range that are not ``taken``.

    Raises:
        SourceError: there are none.
    """
    free = (group for group in range(FIRST_GROUP, LAST_GROUP + 1) if group not in taken)
    first, second = next(free, None), next(free, None)
    if first is None or second is None:
        raise SourceError("nflog", "choose groups", f"all from {FIRST_GROUP} to {LAST_GROUP} are in use")
    return first, second


def read_groups(text: str) -> dict[int, int]:
    """Reads the kernel's nfnetlink_log file: group and port id come first in each line."""
    rows = (line.split() for line in text.splitlines() if line.strip())
    return {int(group): int(port) for group, port, *_ in rows}


def read_inode(text: str, port: int) -> int | None:
    """The inode of the netfilter netlink socket with a port id, from the kernel's netlink file."""
    for line in text.splitlines()[1:]:
        _socket, protocol, port_id, *_, inode = line.split()
        if (int(protocol), int(port_id)) == (NETLINK_NETFILTER, port):
            return int(inode)
    return None


def holder(group: int) -> Holder | None:
    """The process that listens to ``group``; None when nobody does, or when it cannot be seen from here."""
    port = bound_groups().get(group)
    inode = None if port is None else read_inode(_text(SOCKETS), port)
    return None if inode is None else _process_with(f"socket:[{inode}]")


def explain_busy(error: GroupBusyError, groups: Iterable[int]) -> GroupBusyError | PermissionDeniedError:
    """The same refusal with its reason: the kernel says EPERM for a missing capability and for a group in use."""
    if not has_capability(CAP_NET_ADMIN):
        return PermissionDeniedError(error.subject, error.operation, error.cause, hint(CAP_NET_ADMIN))
    for group in groups:
        found = holder(group)
        if found is not None and found.pid != os.getpid():
            cause = f"already bound by pid {found.pid} ({found.command})"
            return GroupBusyError(f"nflog group {group}", "bind", cause, "stop that program, or use another group")
    return error


def _process_with(link: str) -> Holder | None:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _holds(process / "fd", link):
            command = _text(process / "comm").strip()
            return Holder(int(process.name), command or "?")
    return None


def _holds(descriptors: Path, link: str) -> bool:
    try:
        return any(_leads_to(descriptor, link) for descriptor in descriptors.iterdir())
    except OSError:  # it ended, or belongs to somebody else
        return False


def _leads_to(descriptor: Path, link: str) -> bool:
    try:
        return str(descriptor.readlink()) == link
    except OSError:  # closed meanwhile
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # no such module in this kernel, or the process ended: nothing is held
        return ""
