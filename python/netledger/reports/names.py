"""Names of addresses by reverse DNS: bounded in number and time, remembered, and made harmless.

What stands in the DNS is chosen by whoever owns the address, so a name proves nothing, and goes beside the address and
never in its place.
"""

import contextlib
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from netledger.durable import write_whole
from netledger.intervals import SECOND_NS
from netledger.reports.harmless import harmless
from netledger.reports.totals import Answer, Value

ADDRESSES_MAX: Final = 1000
"""Of one report; what is beyond stays without a name."""

SECONDS_MAX: Final = 2.0
"""For all of them together."""

_THREADS_MAX: Final = 64
_NAME_LENGTH_MAX: Final = 253
_KEPT_NS: Final = 3600 * SECOND_NS
_KEPT_MAX: Final = 10_000
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_COLUMNS: Final = {"host": "host_name", "peer": "peer_name"}

Lookup = Callable[[bytes], str | None]
"""The name of a 16-byte address; None if it has none. May block, and be called by several threads."""


@final
@dataclass(frozen=True, slots=True)
class Names:
    """What is known of some addresses.

    Attributes:
        known: the name of each address that was answered for; None where it has none.
        unanswered: how many addresses there are that nothing is known of.
    """

    known: Mapping[bytes, str | None]
    unanswered: int


def reverse(address: bytes) -> str | None:
    """What this machine's resolver says (``/etc/hosts``, DNS …). Blocks, with a silent server for many seconds."""
    is_ipv4 = address.startswith(_V4_MAPPED)
    text = socket.inet_ntop(*((socket.AF_INET, address[12:]) if is_ipv4 else (socket.AF_INET6, address)))
    try:
        name, _ = socket.getnameinfo((text, 0), socket.NI_NAMEREQD)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise  # nobody answered: that is no answer
        return None
    return name


def look_up(addresses: Iterable[bytes], *, lookup: Lookup = reverse, seconds: float = SECONDS_MAX) -> Names:
    """Asks for all of them at once, and takes what has come when the time is over. Blocks for so long at most."""
    wanted = list(dict.fromkeys(addresses))
    todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[bytes, str | None] | None] = queue.SimpleQueue()
    for address in wanted[:ADDRESSES_MAX]:
        todo.put(address)
    is_over = threading.Event()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not is_over.is_set():
                address = todo.get_nowait()
                try:
                    done.put((address, _tidy(lookup(address))))
                except OSError:
                    done.put(None)

    count = min(len(wanted), ADDRESSES_MAX)
    for _ in range(min(count, _THREADS_MAX)):
        # The process does not wait for those that still hang when it ends.
        threading.Thread(target=work, daemon=True, name="reverse-dns").start()
    known: dict[bytes, str | None] = {}
    deadline = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        for _ in range(count):
            answered = done.get(timeout=max(0.0, deadline - time.monotonic()))
            if answered is not None:
                known[answered[0]] = answered[1]
    is_over.set()
    return Names(known, len(wanted) - len(known))


def with_names(answer: Answer, names: Names) -> Answer:
    """The answer with a column of names behind each column of addresses."""
    totals = answer.totals
    columns: dict[str, list[Value]] = {}
    for name in totals.names:
        columns[name] = list(totals.columns[name])
        if name in _COLUMNS:
            columns[_COLUMNS[name]] = [
                names.known.get(cell) if isinstance(cell, bytes) else None for cell in totals.columns[name]
            ]
    return replace(answer, totals=replace(totals, names=tuple(columns), columns=columns))


def addresses_of(answer: Answer, *, is_whole: Callable[[bytes], bool]) -> list[bytes]:
    """The addresses of an answer, as they come. ``is_whole`` says which are more than the start of a network."""
    cells = (cell for name in answer.totals.names if name in _COLUMNS for cell in answer.totals.columns[name])
    return list(dict.fromkeys(cell for cell in cells if isinstance(cell, bytes) and is_whole(cell)))


def default_memory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where names are remembered from one report to the next: below the user's directory for such things."""
    folder = environment.get("XDG_CACHE_HOME", "")
    base = Path(folder) if folder.startswith("/") else Path.home() / ".cache"
    return base / "netledger" / "names.json"


def remembered(memory: Path, addresses: Iterable[bytes], *, now_ns: int, lookup: Lookup = reverse) -> Names:
    """The same as :func:`look_up`, but asks only for what was not answered within the last hour.

    Without a memory that can be read or written it goes on without.
    """
    wanted = list(dict.fromkeys(addresses))
    kept = {address: one for address, one in _recall(memory).items() if abs(now_ns - one[1]) < _KEPT_NS}
    found = look_up((address for address in wanted if address not in kept), lookup=lookup)
    if found.known:
        kept |= {address: (name, now_ns) for address, name in found.known.items()}
        newest = sorted(kept.items(), key=lambda item: item[1][1], reverse=True)[:_KEPT_MAX]
        text = json.dumps({address.hex(): one for address, one in newest})
        with contextlib.suppress(OSError):
            write_whole(memory, lambda file: file.write(text.encode()))
    known = {address: kept[address][0] for address in wanted if address in kept}
    return Names(known, len(wanted) - len(known))


def _recall(memory: Path) -> dict[bytes, tuple[str | None, int]]:
    found: dict[bytes, tuple[str | None, int]] = {}
    # Whatever is wrong with it, it is only a memory.
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        for key, (name, at_ns) in json.loads(memory.read_bytes()).items():
            if isinstance(at_ns, int) and (name is None or isinstance(name, str)):
                found[bytes.fromhex(key)] = (_tidy(name), at_ns)
    return found


def _tidy(name: str | None) -> str | None:
    """A name as it may be shown: nothing in it moves the cursor, and it ends somewhere."""
    return harmless(name.rstrip(".")[:_NAME_LENGTH_MAX]) or None if name else None
