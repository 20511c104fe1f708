"""Who has which address, and who is logged in on which line: what the user column rests on. Pure."""

import platform
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from netledger.compat.nacctd.naccttab import Network, Table
from netledger.compat.nacctd.numbers import to_address

__all__ = ["Holders", "is_looked_up", "logged_in", "name_in", "rows_with_users", "user_of"]

Holders: TypeAlias = Mapping[str, str]
"""User by dotted address, or by interface where ``line`` tells of them."""

_NAME_BYTES_MAX: Final = 255
_LINE_NAME_CHARACTERS: Final = 8
_USER_PROCESS: Final = 7
# utmp(5): type, pid, line, id, user; what comes behind differs in length.
_UTMP = struct.Struct("=hxxi32s4s32s")
_UTMP_BYTES: Final = 400 if platform.machine() in {"aarch64", "riscv64", "loongarch64"} else 384


def name_in(content: bytes) -> str | None:
    """The user that a file names in its first line; None when that is empty.

    Blanks stay. Another control character than the line feed becomes a blank: it would break the columns of a line.
    """
    first = content.split(b"\n", 1)[0][:_NAME_BYTES_MAX].decode("utf-8", "surrogateescape")
    name = "".join(" " if ord(character) < ord(" ") or character == "\x7f" else character for character in first)
    return name if name.strip() else None


def is_looked_up(address: int, dynamicnet: Network | None, excluded: Iterable[Network]) -> bool:
    """Whether an address may have a user."""
    return dynamicnet is not None and address in dynamicnet and not any(address in network for network in excluded)


def user_of(holders: Mapping[int, str], source: int, destination: int) -> str | None:
    """Whose packet it is: the source's if it has a user, else the destination's."""
    return holders.get(source) or holders.get(destination)


def logged_in(utmp: bytes, lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The user of each interface whose terminal line somebody is logged in on, cut to 8 characters as ever."""
    by_line = dict(_sessions(utmp))
    found = ((interface, by_line.get(tty)) for interface, tty in lines)
    return {interface: user for interface, user in found if user is not None}


def _sessions(utmp: bytes) -> Iterator[tuple[str, str]]:
    for start in range(0, len(utmp) - _UTMP_BYTES + 1, _UTMP_BYTES):
        kind, _pid, line, _id, user = _UTMP.unpack_from(utmp, start)
        name = name_in(user.split(b"\0", 1)[0][:_LINE_NAME_CHARACTERS])
        if kind == _USER_PROCESS and name is not None:
            yield line.split(b"\0", 1)[0].decode("utf-8", "surrogateescape"), name


def rows_with_users(flows: Iterable[tuple[int, int, str]], holders: Holders, table: Table) -> Iterator[str | None]:
    """The user of each flow, of which source, destination and interface are given."""
    if table.lines:
        unlisted = {interface: user for interface, user in holders.items() if not table.has_headers(interface)}
        for _source, _destination, interface in flows:
            yield unlisted.get(interface)
        return
    dynamic = {
        address: user
        for address, user in ((to_address(text), user) for text, user in holders.items())
        if is_looked_up(address, table.dynamicnet, table.excluded)
    }
    for source, destination, _interface in flows:
        yield user_of(dynamic, source, destination)
