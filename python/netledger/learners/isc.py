"""dhcpd.leases of ISC dhcpd, IPv4 and IPv6: a log of blocks, the last of an address counts (dhcpd.leases(5)).

It is read as dhcpd writes it: a block begins in the first column, and ends there with a brace. So a block that was cut
off by the death of the server ends where the next one begins.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Target
from netledger.intervals import SECOND_NS
from netledger.learners.lease import Lease, News, host_name, leased, mac, mac_of_duid
from netledger.learners.tail import Tail

_BLOCK: Final = re.compile(
    rb"^(?:lease[ \t]+(?P<address>\S+)|ia-(?:na|ta|pd)[ \t]+\"(?P<client>(?:[^\"\\\n]|\\[^\n])*)\")[ \t]*\{[^\n]*\n"
    rb"(?P<body>(?:[ \t][^\n]*\n|\n)*)\}",
    re.MULTILINE,
)
_BEGINNING: Final = re.compile(rb"^(?:lease|ia-(?:na|ta|pd))\b", re.MULTILINE)
_PART: Final = re.compile(
    rb"^[ \t]+(?:iaaddr|iaprefix)[ \t]+(?P<address>\S+)[ \t]*\{[^\n]*\n(?P<body>(?:[ \t]{3,}[^\n]*\n)*)", re.MULTILINE
)
_TIME: Final = re.compile(
    rb"^[ \t]+(?P<what>starts|ends|cltt)[ \t]+(?:(?P<never>never)|epoch[ \t]+(?P<epoch>\d{1,11})"
    rb"|\d[ \t]+(?P<date>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d))",
    re.MULTILINE,
)
_STATE: Final = re.compile(rb"^[ \t]+binding state[ \t]+(\w+)", re.MULTILINE)
_HARDWARE: Final = re.compile(rb"^[ \t]+hardware[ \t]+ethernet[ \t]+([0-9a-fA-F:]+)", re.MULTILINE)
_HOST_NAME: Final = re.compile(rb"^[ \t]+client-hostname[ \t]+\"((?:[^\"\\\n]|\\[^\n])*)\"", re.MULTILINE)
_UID: Final = re.compile(rb"^[ \t]+uid[ \t]+\"((?:[^\"\\\n]|\\[^\n])*)\"", re.MULTILINE)
_ESCAPED: Final = re.compile(rb"\\(?:([0-7]{1,3})|(.))")
_DATE_PARTS: Final = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
_ASSOCIATION_BYTES: Final = 4
_REST_BYTES_MAX: Final = 1 << 20


@final
class IscBook:
    """Reads the file of one server. To be used from one thread.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._rest = b""

    def read(self) -> News:
        """What was appended since the last call; all leases when the file was written anew.

        Raises:
            LearnerError: it is not there, or cannot be read.
        """
        piece = self._tail.read()
        raw = piece.raw if piece.is_whole else self._rest + piece.raw
        news, self._rest = parsed(raw, is_all=piece.is_whole)
        return news


def parsed(raw: bytes, *, is_all: bool) -> tuple[News, bytes]:
    """The leases of a text, and its last part that is not whole yet."""
    leases: dict[Target, Lease] = {}
    refused = end = 0
    for block in _BLOCK.finditer(raw):
        end = block.end()
        for lease in _leases(block):
            if lease is None:
                refused += 1
            else:
                leases[lease.target] = lease
    # Blocks that are not about leases may be long; only one that has begun is waited for.
    begun = max((found.start() for found in _BEGINNING.finditer(raw, end)), default=None)
    rest = raw[max(end, raw.rfind(b"\n") + 1) if begun is None else begun :]
    return News(leases=leases, is_all=is_all, refused=refused), rest[-_REST_BYTES_MAX:]


def _leases(block: re.Match[bytes]) -> Iterator[Lease | None]:
    """The lease of a block, or each of an association of IPv6; None is one that cannot be."""
    body = block["body"]
    if block["address"] is not None:
        device, uid = _HARDWARE.search(body), _UID.search(body)
        yield _lease(
            block["address"],
            body,
            device=mac(device[1].decode()) if device else None,
            client=_bytes(uid[1] if uid else b""),
        )
        return
    # In front of the DUID stands the number of the association.
    duid = _bytes(block["client"])[_ASSOCIATION_BYTES:]
    for part in _PART.finditer(body):
        yield _lease(part["address"], part["body"], device=mac_of_duid(duid), client=duid, around=_times(body))


def _lease(
    address: bytes, body: bytes, *, device: str | None, client: bytes, around: dict[str, int | None] | None = None
) -> Lease | None:
    text = address.decode("latin-1")
    if (target := leased(text, is_network="/" in text and around is not None)) is None:
        return None
    times = _times(body)
    state, name = _STATE.search(body), _HOST_NAME.search(body)
    is_held = state is not None and state[1] == b"active"
    starts_ns = times.get("starts") or (around or {}).get("cltt")
    # Who releases an address of IPv6 leaves its end as it was.
    ends_ns = times.get("ends") if is_held or around is None else around.get("cltt")
    return Lease(
        target=target,
        is_held=is_held,
        mac=device,
        host_name=host_name(_bytes(name[1])) if name else "",
        client=client,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
    )


def _times(body: bytes) -> dict[str, int | None]:
    """The times that a block tells, UTC nanoseconds; None is never."""
    found: dict[str, int | None] = {}
    for time in _TIME.finditer(body):
        what = time["what"].decode()
        if time["never"]:
            found[what] = None
        elif time["epoch"]:
            found[what] = int(time["epoch"]) * SECOND_NS
        else:
            found |= _date(what, time["date"])
    return found


def _date(what: str, text: bytes) -> dict[str, int | None]:
    """``2026/11/21 10:59:29``, in UTC; nothing where there is no such day."""
    numbers = [int(text[start:end]) for start, end in _DATE_PARTS]
    try:
        moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[misc,arg-type]  # six numbers, behind which comes no more
    except ValueError:
        return {}
    return {what: int(moment.timestamp()) * SECOND_NS}


def _bytes(text: bytes) -> bytes:
    """What stands between quotes, without its escapes."""
    return _ESCAPED.sub(lambda one: bytes([int(one[1], 8) & 0xFF]) if one[1] else one[2], text)
