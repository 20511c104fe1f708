"""The lease file of Kea (memfile), IPv4 and IPv6: a CSV log, of which the last line about an address counts.

Now and then Kea moves the file away as ``.1``, begins a new one, and another program makes ``.2`` of both that came
before, by way of ``.output`` and ``.completed``. All that is known stands in ``.completed``, or else in ``.2`` and
``.1``, and behind those in the file itself: Kea reads them so, too.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Target
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS
from netledger.learners.lease import Lease, News, hexadecimal, host_name, leased, mac, mac_of_duid
from netledger.learners.tail import Tail

ROTATED: Final = (".completed", ".2", ".1")
"""What the file is called when it is moved away."""

_HELD: Final = frozenset(("0", "4"))
"""Lent, and registered by a device that made its address itself. Others are declined, expired or released."""
_FOREVER_SECONDS: Final = 0xFFFF_FFFF
_DELEGATED: Final = "2"
_TRIES: Final = 5
_COMMA: Final = "&#x2c"
_DIGITS_MAX: Final = 12


@final
class KeaBook:
    """Reads the files of one server. To be used from one thread.

    Args:
        path: the file itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tail = Tail(path)
        self._rest = b""
        self._header: tuple[str, ...] = ()

    def read(self) -> News:
        """What was appended since the last call; all leases when Kea has begun a new file.

        Raises:
            LearnerError: it is not there, or cannot be read; the others changed each time while they were read.
        """
        for _ in range(_TRIES):
            before = self._rotated()
            piece = self._tail.read()
            if not piece.is_whole:
                return self._parsed(self._rest + piece.raw, is_all=False)
            older = b"".join(self._content(name) for name in _in_order(before))
            if before == self._rotated():
                self._header = ()
                return self._parsed(older + piece.raw, is_all=True)
            self._tail = Tail(self._path)
        raise LearnerError(str(self._path), "read", "the files beside it changed each time while they were read")

    def _parsed(self, raw: bytes, *, is_all: bool) -> News:
        whole, newline, self._rest = raw.rpartition(b"\n")
        news, self._header = parsed(whole + newline, self._header, is_all=is_all)
        return news

    def _rotated(self) -> Mapping[str, tuple[int, int]]:
        """The files beside it, each with what tells it from another one of its name."""
        found = {}
        for name in ROTATED:
            try:
                status = os.stat(f"{self._path}{name}")  # noqa: PTH116  # the name has a dot of its own
            except OSError:
                continue
            found[name] = (status.st_ino, status.st_size)
        return found

    def _content(self, name: str) -> bytes:
        """What one of them holds, up to its last whole line; nothing when it has just gone: then all is read again."""
        try:
            raw = Tail(Path(f"{self._path}{name}")).read().raw
        except LearnerError:
            return b""
        return raw[: raw.rfind(b"\n") + 1]


def _in_order(there: Mapping[str, object]) -> Sequence[str]:
    return (".completed",) if ".completed" in there else (".2", ".1")


def parsed(raw: bytes, header: Sequence[str], *, is_all: bool) -> tuple[News, tuple[str, ...]]:
    """The leases of whole lines, and the names of the columns; ``header`` are those of what came before."""
    leases: dict[Target, Lease] = {}
    refused, columns = 0, tuple(header)
    for line in raw.decode("latin-1").split("\n"):
        cells = line.rstrip("\r").split(",")
        if cells == [""]:
            continue
        if cells[0] == "address":
            columns = tuple(cells)
            continue
        lease = _lease(dict(zip(columns, cells, strict=False)))
        if lease is None:
            refused += 1
        else:
            leases[lease.target] = lease
    return News(leases=leases, is_all=is_all, refused=refused), columns


def _lease(cells: Mapping[str, str]) -> Lease | None:
    """What a line says."""
    length = cells.get("prefix_len", "") if cells.get("lease_type") == _DELEGATED else ""
    try:
        address = cells["address"]
        target = leased(f"{address}/{length}" if length else address, is_network=bool(length))
        lasts_seconds, ends_seconds = _number(cells["valid_lifetime"]), _number(cells["expire"])
        state = cells["state"]
    except (KeyError, ValueError):
        return None
    if target is None:
        return None
    client = hexadecimal(cells.get("duid") or cells.get("client_id", ""))
    name = cells.get("hostname", "").replace(_COMMA, ",")
    is_held = state in _HELD and lasts_seconds > 0
    # A line that takes a lease out of the file lasts no time at all, and tells when it was renewed last.
    has_end = lasts_seconds not in {0, _FOREVER_SECONDS}
    begins_ns = (ends_seconds - lasts_seconds) * SECOND_NS if lasts_seconds < ends_seconds else None
    return Lease(
        target=target,
        is_held=is_held,
        mac=mac(cells.get("hwaddr", "")) or mac_of_duid(client),
        host_name=host_name(name.encode("latin-1")),
        client=client,
        starts_ns=begins_ns,
        ends_ns=ends_seconds * SECOND_NS if has_end else None,
    )


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise ValueError(text)
    return int(text)
