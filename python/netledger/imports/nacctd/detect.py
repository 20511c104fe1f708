"""Which fields a file has, found out from its lines.

Nothing in a log tells what its table left out. Every choice of fields that all lines fit is looked at, and what the
values can be decides: IP packets have 20 bytes at least, an interface is seldom called ``1280``. Where that leaves
more than one choice nothing is guessed.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from netledger.imports.nacctd.fields import MAXIMA, NAMES, Fields

LINES_LOOKED_AT: Final = 2_000
"""Of each file; every other line has to have the same fields."""

_HEADER_BYTES: Final = 20
_PACKET_BYTES_MAX: Final = 65_535
_ALMOST_ALL: Final = 0.99
_MOST: Final = 0.5
_DEVICE: Final = re.compile(
    rb"(?:eth|tr|isdn|ippp|plip|ppp|sl|en[opsx]|em|p\dp|wl|ww|tun|tap|veth|br|bond|vlan|wg|dummy|venet|ipsec|gre|sit)"
    rb"[-_.\w@:]*\d[\w.:@]*|lo"
)
_NOBODY: Final = b"unknown"


def possible(lines: Sequence[bytes]) -> list[Fields]:
    """Every choice of fields that these lines may have; one where they leave no doubt, none where they fit none."""
    if not lines:
        return []
    found = [fields for fields in _choices(lines) if _fits(fields, lines)]
    for sieve in (_untorn, _plain_text, _echoes, _counted, _texts):
        found = sieve(found, lines)
    return found


def _choices(lines: Sequence[bytes]) -> Iterable[Fields]:
    """By the number of fields alone. A user may have tabs in its name, so the shortest line tells most."""
    most = min(line.count(b"\t") for line in lines)
    for size in range(most, -1, -1):
        for more in itertools.combinations(NAMES[1:], size):
            if size == most or more[-1:] == ("user",):
                yield Fields((NAMES[0], *more))


def _fits(fields: Fields, lines: Sequence[bytes]) -> bool:
    limits = [(place, MAXIMA[name]) for place, name in enumerate(fields.names) if name in MAXIMA]
    for line in lines:
        found = fields.line.fullmatch(line)
        if found is None or any(int(found[place + 1]) > most for place, most in limits):
            return False
    return True


def _values(fields: Fields, name: str, lines: Sequence[bytes]) -> list[bytes]:
    place = fields.names.index(name) + 1
    return [found[place] for line in lines if (found := fields.line.fullmatch(line))]


def _kept(found: list[Fields], is_good: Callable[[Fields], bool]) -> list[Fields]:
    """Those that are good, if there are any."""
    return [fields for fields in found if is_good(fields)] or found


def _untorn(found: list[Fields], lines: Sequence[bytes]) -> list[Fields]:
    """A user with a tab in its name is the last explanation."""
    torn = {one: sum(b"\t" in user for user in _values(one, "user", lines)) for one in found if "user" in one.names}
    least = min((torn.get(one, 0) for one in found), default=0)
    return [one for one in found if torn.get(one, 0) == least]


def _plain_text(found: list[Fields], lines: Sequence[bytes]) -> list[Fields]:
    """Neither interfaces nor users are numbers or addresses, as long as something else fits."""

    def is_text(fields: Fields, name: str) -> bool:
        return name not in fields.names or not all(
            re.fullmatch(rb"[0-9.]+", value) for value in _values(fields, name, lines)
        )

    return _kept(found, lambda one: is_text(one, "device") and is_text(one, "user"))


def _echoes(found: list[Fields], lines: Sequence[bytes]) -> list[Fields]:
    """A ping has type 8 or 0 where others have ports, and the code 0."""

    def is_good(fields: Fields) -> bool:
        if not {"proto", "sport", "dport"} <= set(fields.names):
            return True
        protocols, kinds, codes = (_values(fields, name, lines) for name in ("proto", "sport", "dport"))
        echoes = [
            code
            for protocol, kind, code in zip(protocols, kinds, codes, strict=True)
            if protocol == b"1" and kind in {b"0", b"8"}
        ]
        return echoes.count(b"0") >= len(echoes) * _MOST

    return _kept(found, is_good)


def _counted(found: list[Fields], lines: Sequence[bytes]) -> list[Fields]:
    """Which numbers are packets and which are bytes."""
    found = _kept(found, lambda one: not {"count", "bytes"} <= set(one.names) or _are_packets(one, lines))
    # The table that comes with net-acct leaves out the packets, and no packet has less than 20 bytes.
    shares = {one: _share_of_bytes(one, lines) for one in found if "bytes" in one.names and "count" not in one.names}
    counts = {_with_bytes(one.names): one for one in found if "count" in one.names and "bytes" not in one.names}
    unlikely = [
        counts.get(one.names) if share >= _ALMOST_ALL else one
        for one, share in shares.items()
        if not _MOST <= share < _ALMOST_ALL  # busy records of packets, or lengths that lied: nobody can tell
    ]
    return _kept(found, lambda one: one not in unlikely)


def _with_bytes(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("bytes" if name == "count" else name for name in names)


def _are_packets(fields: Fields, lines: Sequence[bytes]) -> bool:
    """Whether there is room for so many packets in so many bytes, in nearly all lines."""
    packets = [int(value) for value in _values(fields, "count", lines)]
    octets = [int(value) for value in _values(fields, "bytes", lines)]
    good = [
        count * _HEADER_BYTES <= size <= count * _PACKET_BYTES_MAX for count, size in zip(packets, octets, strict=True)
    ]
    return all(packets) and sum(good) >= len(good) * _ALMOST_ALL


def _share_of_bytes(fields: Fields, lines: Sequence[bytes]) -> float:
    values = _values(fields, "bytes", lines)
    return sum(int(value) >= _HEADER_BYTES for value in values) / len(values)


def _texts(found: list[Fields], lines: Sequence[bytes]) -> list[Fields]:
    """Whether the only text of a line is an interface or a user."""
    devices = [one for one in found if "device" in one.names and "user" not in one.names]
    users = [one for one in found if "user" in one.names and "device" not in one.names]
    if not devices or not users:
        return found
    values = set(_values(devices[0], "device", lines)) | set(_values(users[0], "user", lines))
    like = sum(_DEVICE.fullmatch(value) is not None for value in values)
    if like == len(values):
        return [one for one in found if one not in users]
    if not like and _NOBODY in values:
        return [one for one in found if one not in devices]
    return found
