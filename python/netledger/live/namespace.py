"""Network namespaces: kernel objects are of one, and a command may be run in another than the daemon's."""

from pathlib import Path
from typing import Final

_NAMED: Final = Path("/run/netns")


def own() -> int | None:
    """The inode of the calling thread's network namespace, another one for each; None where /proc does not say."""
    try:
        return Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError:
        return None


def way_into(inode: int, pid: int) -> str:
    """The words to put before a command, so that it runs in the network namespace of that process."""
    try:
        for path in sorted(_NAMED.iterdir()):
            if path.stat().st_ino == inode:
                return f"ip netns exec {path.name}"
    except OSError:
        pass  # no namespace has a name here, or names may not be read
    return f"nsenter --net --target {pid}"
