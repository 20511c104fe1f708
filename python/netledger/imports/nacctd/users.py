"""Which of a line's two addresses its user had.

nacctd looked the source up if it was in ``dynamicnet``, and else the destination; the line has only the name. Where
the networks are given, the same rule is followed. Where they are not, the address is taken that has most lines of that
user behind each other: all that a user does passes the user's own address, and only some of it each server, between
lines of others. Where that leaves both, the one that was a user's more often in all files.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from netledger.errors import UsageError
from netledger.reports.harmless import harmless

_NOBODY: Final = "unknown"
"""What nacctd writes where it knows no user."""
_LENGTH_MAX: Final = 240

UserLine = tuple[bytes, bytes, str]
"""Source and destination of a line, as text, and its user."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@final
@dataclass(frozen=True, slots=True)
class UserNetworks:
    """Where users' addresses are, as ``dynamicnet`` and ``exclude-name-lookup`` of a table say.

    Attributes:
        inside: networks of users; none where nobody said.
        outside: addresses and networks in them that are no users'.
    """

    inside: tuple[_Network, ...] = ()
    outside: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, inside: Sequence[str], outside: Sequence[str]) -> "UserNetworks":
        """From options.

        Raises:
            UsageError: one is no network, or only exceptions are given.
        """
        if outside and not inside:
            raise UsageError("--users-not-in", "", "an exception to what?", "give --users-in too")
        return cls(_networks("--users-in", inside), _networks("--users-not-in", outside))

    def has(self, address: bytes) -> bool:
        """Whether users are looked up for it."""
        found = ipaddress.ip_address(address.decode())
        return any(found in one for one in self.inside) and not any(found in one for one in self.outside)


def name_of(user: bytes) -> str | None:
    """The user of a line, as it can be shown; None where nacctd knew none, or its file had nothing in it."""
    text = harmless(user.decode("utf-8", "backslashreplace").strip())[:_LENGTH_MAX].strip()
    return None if text in {"", _NOBODY} else text


@final
class Whose:
    """Tells whose addresses are users'. Looks at all lines first, and is then asked.

    Args:
        networks: where users' addresses are, if somebody said.
    """

    def __init__(self, networks: UserNetworks) -> None:
        self._networks = networks
        self._often: Counter[bytes] = Counter()
        self._first: dict[tuple[bytes, bytes], bytes] = {}
        self._known: dict[bytes, bool] = {}

    def look(self, lines: Iterable[UserLine]) -> None:
        """Learns from the lines of a period that have a user."""
        if self._networks.inside:
            return
        use = _Use(lines)
        for line in use.lines:
            winner = use.winner(line)
            if winner is not None:
                self._often[winner] += 1
            else:
                self._first.setdefault(_pair(line), use.first[_pair(line)])

    def are_sources(self, lines: Iterable[UserLine]) -> dict[UserLine, bool]:
        """For each of the lines of a period whether it is the source that the user had."""
        use = _Use(lines)
        if not self._networks.inside:
            return {line: self._by_use(use, line) == line[0] for line in use.lines}
        return {line: self._by_network(use, line) for line in use.lines}

    def _by_network(self, use: "_Use", line: UserLine) -> bool:
        """The rule of nacctd. Of two in a network it is the source, unless other lines tell that it had no user."""
        source, destination, _ = line
        if self._has(source) and self._has(destination):
            return use.winner(line) in {source, None}
        # With neither in a network the table was another one at that time. nacctd looked the source up first.
        return self._has(source) or not self._has(destination)

    def _has(self, address: bytes) -> bool:
        if address not in self._known:
            self._known[address] = self._networks.has(address)
        return self._known[address]

    def _by_use(self, use: "_Use", line: UserLine) -> bytes:
        winner = use.winner(line)
        if winner is not None:
            return winner
        source, destination, _ = line
        mine, theirs = self._often[source], self._often[destination]
        if mine != theirs:
            return source if mine > theirs else destination
        # Nothing tells them apart, as where somebody talks to nobody else: who was the first that sent something.
        return self._first.get(_pair(line), use.first[_pair(line)])


class _Use:
    """How addresses are used in a period: how many lines of each user, and in how many runs.

    On a user's own address that user's lines stand behind each other, until it is somebody else's. On a server those
    of all users alternate.
    """

    def __init__(self, lines: Iterable[UserLine]) -> None:
        self.lines: Counter[UserLine] = Counter()
        self.first: dict[tuple[bytes, bytes], bytes] = {}
        self._numbers: Counter[tuple[bytes, str]] = Counter()
        self._runs: Counter[tuple[bytes, str]] = Counter()
        last: dict[bytes, str] = {}
        for line in lines:
            source, destination, user = line
            if line not in self.lines:
                self.first.setdefault(_pair(line), source)
            self.lines[line] += 1
            for address in (source, destination):
                self._numbers[address, user] += 1
                if last.get(address) != user:
                    last[address] = user
                    self._runs[address, user] += 1

    def winner(self, line: UserLine) -> bytes | None:
        """The address that the user had; None if that cannot be told."""
        source, destination, user = line
        mine = self._numbers[source, user] * self._runs[destination, user]
        theirs = self._numbers[destination, user] * self._runs[source, user]
        if mine == theirs:
            return None
        return source if mine > theirs else destination


def _pair(line: UserLine) -> tuple[bytes, bytes]:
    """Its two addresses, the same for both directions."""
    source, destination, _ = line
    return (source, destination) if source < destination else (destination, source)


def _networks(option: str, words: Iterable[str]) -> tuple[_Network, ...]:
    found = []
    for word in words:
        try:
            # A table has "193.97.238.0 255.255.255.0", and host bits that never matched.
            found.append(ipaddress.ip_network(word.replace(" ", "/")))
        except ValueError as error:
            raise UsageError(f"{option} {word}", "", str(error), "as in 193.97.238.0/24") from error
    return tuple(found)
