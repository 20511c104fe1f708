"""The lease file of dnsmasq: one line for each lease, written anew in place whenever one changes."""

from dataclasses import replace
from pathlib import Path
from typing import final

from netledger.attribution.facts import Target
from netledger.intervals import SECOND_NS
from netledger.learners.lease import Lease, News, hexadecimal, host_name, leased, mac, mac_of_duid
from netledger.learners.tail import Tail

_FIELDS = 5
_NOTHING = b"*"


@final
class DnsmasqBook:
    """Reads the file of one server. To be used from one thread.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: tuple[bytes, tuple[int, ...]] | None = None

    def read(self) -> News:
        """All leases; nothing when the file is as it was.

        Raises:
            LearnerError: it is not there, or cannot be read.
        """
        piece = Tail(self._path).read()
        if (piece.raw, piece.version) == self._before:
            return News(leases={}, is_all=False)
        self._before = (piece.raw, piece.version)
        return replace(parsed(piece.raw), version=piece.version)


def parsed(raw: bytes) -> News:
    """The leases of a file. A last line without its end is still being written, and left out."""
    leases: dict[Target, Lease] = {}
    refused = 0
    for line in raw.split(b"\n")[:-1]:
        fields = line.rstrip(b"\r").split(b" ")
        if fields == [b""] or fields[0] == b"duid":  # the server's own, in front of its IPv6 leases
            continue
        lease = _lease(fields)
        if lease is None:
            refused += 1
        else:
            leases[lease.target] = lease
    return News(leases=leases, is_all=True, refused=refused)


def _lease(fields: list[bytes]) -> Lease | None:
    """What a line says: end, MAC, address, name, client; of IPv6 end, association, address, name, DUID."""
    if len(fields) < _FIELDS or not fields[0].isdigit():
        return None
    device, address, name, client = (field.decode("latin-1") for field in fields[1:_FIELDS])
    if (target := leased(address)) is None:
        return None
    known_as = hexadecimal(client)
    ends_seconds = int(fields[0][:18])
    return Lease(
        target=target,
        is_held=True,
        # Hardware of another kind than Ethernet has its number in front, as in 20-….
        mac=mac_of_duid(known_as) if ":" in address else mac(device.rpartition("-")[2] if "-" in device else device),
        host_name="" if name.encode("latin-1") == _NOTHING else host_name(name.encode("latin-1")),
        client=known_as,
        ends_ns=ends_seconds * SECOND_NS if ends_seconds else None,
    )
