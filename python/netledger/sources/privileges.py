"""What the process may do while it counts: what the sources need, and nothing else of what it was started with."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from netledger import _core

CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39

_NAMES: Final = {
    CAP_NET_ADMIN: "CAP_NET_ADMIN",
    CAP_NET_RAW: "CAP_NET_RAW",
    CAP_SYS_ADMIN: "CAP_SYS_ADMIN",
    CAP_PERFMON: "CAP_PERFMON",
    CAP_BPF: "CAP_BPF",
}
_OF_SOURCES: Final = {"packet": frozenset({CAP_NET_RAW}), "bpf": frozenset({CAP_BPF, CAP_PERFMON})}
_THREADS: Final = Path("/proc/self/task")

_log = logging.getLogger(__name__)


def has_capability(number: int) -> bool:
    """Whether the calling thread has a capability (capabilities(7)) in its effective set."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> number & 1)
    return False


def hint(*numbers: int) -> str:
    """What to do for who was refused and needs these; root, too, may lack one, and is told which."""
    return _core.capability_hint(*(_NAMES[number] for number in numbers))


def needed(mechanisms: Iterable[str], *, enters_namespaces: bool) -> frozenset[int]:
    """What the sources of a configuration need, and those that a reload may ask for; save three.

    To read all that passes is more than to count by rules, to load programs into the kernel more than that, and to
    enter another namespace takes what nearly all else can be done with: each is kept only where it is used from the
    start.
    """
    wanted = {CAP_NET_ADMIN}
    for mechanism in mechanisms:
        wanted |= _OF_SOURCES.get(mechanism, frozenset())
    return frozenset(wanted | {CAP_SYS_ADMIN} if enters_namespaces else wanted)


def give_up_others(kept: Iterable[int]) -> None:
    """Gives up all capabilities but ``kept``, for good, and the right to gain any; programs that are run get no more.

    To be called before other threads are started: they have what the one has that starts them. It does not fail, for
    not to count would be worse; what could not be given up is in the log.
    """
    wanted = sum(1 << number for number in set(kept))
    try:
        left, is_bounded = _core.keep_capabilities(wanted)
    except OSError as error:
        fields: dict[str, object] = {"error": error.strerror or error, "hint": "give it less to begin with"}
        _log.warning("privileges_kept", extra={"fields": fields})
        return
    threads = len(list(_THREADS.iterdir()))
    if threads > 1:
        fields = {"threads": threads - 1, "hint": "they were there before and keep what they have"}
        _log.warning("privileges_kept", extra={"fields": fields})
    names = ",".join(_NAMES.get(number, str(number)) for number in range(64) if left >> number & 1)
    fields = {"kept": names or "none", "bounding_set": "cut" if is_bounded else "as it was"}
    _log.info("privileges", extra={"fields": fields})
