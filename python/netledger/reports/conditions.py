"""Conditions as people write them: a word, ``=`` or ``!=``, and values with commas between them."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, final

from netledger.errors import UsageError
from netledger.reports.protocols import number_of

_CONDITION: Final = re.compile(r"(?P<word>[a-z_]+)\s*(?P<sign>!?=)\s*(?P<values>.*\S)\s*")
_PORTS: Final = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")
_MARK: Final = re.compile(r"[0-9]{1,10}|0[xX][0-9a-fA-F]{1,8}")
_PORT_MAX: Final = 65_535
_ZONE_MAX: Final = 65_535
_MARK_MAX: Final = 0xFFFF_FFFF

_V = TypeVar("_V")


@final
@dataclass(frozen=True, slots=True)
class Condition(Generic[_V]):
    """One condition.

    Attributes:
        word: what it is about; a synonym is resolved.
        is_excluding: whether it was written with ``!=``.
        values: what each value means.
    """

    word: str
    is_excluding: bool
    values: Sequence[_V]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar(Generic[_V]):
    """What can be asked for.

    Attributes:
        words: of each word, what a value means. It raises ``ValueError`` with a cause, and behind ``; `` a hint.
        synonyms: other ways to write some of them.
        single: words whose value may contain commas, and is one.
        example: conditions that are right, for a hint.
    """

    words: Mapping[str, Callable[[str], _V]]
    synonyms: Mapping[str, str]
    single: frozenset[str] = frozenset()
    example: str

    def understand(self, text: str) -> Condition[_V]:
        """A condition.

        Raises:
            UsageError: it means nothing.
        """
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(f"--where {text}", "", "not a condition", f"write it as {self.example}")
        word = self.synonyms.get(found["word"], found["word"])
        if word not in self.words:
            known = ", ".join(self.words)
            raise UsageError(f"--where {text}", "", f"no such word: {found['word']}", f"there are {known}")
        texts = [found["values"]] if word in self.single else [value.strip() for value in found["values"].split(",")]
        values = []
        for value in texts:
            try:
                values.append(self.words[word](value))
            except ValueError as error:
                cause, _, hint = str(error).partition("; ")
                raise UsageError(f"--where {text}", "", cause, hint or None) from error
        return Condition(word, found["sign"] == "!=", values)


def network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address, or a network.

    Raises:
        ValueError: it is neither.
    """
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(_network_mistake(value)) from error


def _network_mistake(value: str) -> str:
    try:
        meant = ipaddress.ip_interface(value).network
    except ValueError:
        return f"{value} is no address and no network; write it as 10.1.0.0/16, 192.0.2.7 or 2001:db8::/32"
    return f"{value} has bits behind its prefix; the network is {meant}"


def protocol(value: str) -> int:
    """The number of a protocol.

    Raises:
        ValueError: it is none.
    """
    number = number_of(value)
    if number is None:
        raise ValueError(f"{value} is no protocol; write it as tcp, udp, icmp or a number up to 255")
    return number


def ports(value: str) -> range:
    """A port, or several that follow each other.

    Raises:
        ValueError: it is neither.
    """
    found = _PORTS.fullmatch(value)
    first, last = (int(found["first"]), int(found["last"] or found["first"])) if found else (1, 0)
    if not first <= last <= _PORT_MAX:
        raise ValueError(f"{value} is no port; write it as 443 or 6000-6063, up to {_PORT_MAX}")
    return range(first, last + 1)


def zone(value: str) -> int:
    """A zone of connection tracking.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > _ZONE_MAX:
        raise ValueError(f"{value} is no zone; write it as 3, up to {_ZONE_MAX}")
    return int(value)


def mark(value: str) -> int:
    """The mark of a connection.

    Raises:
        ValueError: it is none.
    """
    number = int(value, 16 if value[:2] in ("0x", "0X") else 10) if _MARK.fullmatch(value) else None
    if number is None or number > _MARK_MAX:
        raise ValueError(f"{value} is no mark; write it as 16 or 0x10, up to {_MARK_MAX:#x}")
    return number
