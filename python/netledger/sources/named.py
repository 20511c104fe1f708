r"""The kernel's named counters as text and numbers: objects of nfacct and counters of nftables, by netlink.

The name of an object of nfacct is its bytes, of nftables the words of its rules: ``inet filter web``. What no terminal
should be sent, a backslash, and bytes that are no UTF-8 stand as ``\x1b``; so that each name has one text, and each
text one name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

from netledger import nfacct
from netledger._core import nfacct_list, nft_counters_all
from netledger.errors import NotSupportedError
from netledger.live.counters import CounterRow
from netledger.schema import Kind
from netledger.sources.tally import Identity, Sight

FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""The families of nftables by their number."""

# As `netledger.nfacct` reads them.
_QUOTA_PACKETS: Final = 1
_QUOTA_FLAGS: Final = 3
_OVERQUOTA: Final = 4
# Names that are remembered, for each counter that is there.
_KNOWN_PER_COUNTER: Final = 4

_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})")


@final
@dataclass(frozen=True, slots=True)
class Named:
    """One counter of the kernel.

    Attributes:
        kind: where it lives.
        name: its text.
        sight: what it says.
        references: how many rules use it.
    """

    kind: Kind
    name: str
    sight: Sight
    references: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which counters are wanted.

    Attributes:
        objects: of nfacct, as patterns: ``*`` stands for any text, ``?`` for any one character.
        nft: of nftables, as patterns of ``family table name``.
        ensure: names of objects of nfacct, wanted whatever the patterns say.
    """

    objects: Sequence[str] = ("*",)
    nft: Sequence[str] = ()
    ensure: Sequence[str] = ()

    def takes(self, kind: Kind, name: str) -> bool:
        """Whether a counter is one of them."""
        patterns = self.objects if kind is Kind.NFACCT else self.nft
        return any(_pattern(one).fullmatch(name) for one in patterns) or (kind is Kind.NFACCT and name in self.ensure)

    @property
    def kinds(self) -> frozenset[Kind]:
        """Where they may live."""
        nfacct_too = {Kind.NFACCT} if self.objects or self.ensure else set()
        return frozenset(nfacct_too | ({Kind.NFT} if self.nft else set()))

    @property
    def wishes(self) -> tuple[tuple[str, ...], ...]:
        """The same as plain texts, to compare and to write down: objects, nft, ensure."""
        return tuple(self.objects), tuple(self.nft), tuple(self.ensure)

    def joined(self, other: "Choice") -> "Choice":
        """What this one takes or the other."""
        objects, nft, ensure = (one + two for one, two in zip(self.wishes, other.wishes, strict=True))
        return Choice(objects=objects, nft=nft, ensure=ensure)


EVERY: Final = Choice(nft=("*",))
"""All that there are."""


def read(choice: Choice) -> list[Named]:
    """The counters that are wanted, as they are now; those of nfacct in the order in which they were made.

    Each number is of one moment, but not all of the same: the kernel is asked for one after the other.

    Raises:
        PermissionDeniedError, UnsteadyError, SourceError: as the kernel has it.
        NotSupportedError: of everything that is wanted this kernel has nothing.
    """
    found: list[Named] = []
    missing: NotSupportedError | None = None
    for kind in sorted(choice.kinds):
        try:
            found += [one for one in _readers[kind]() if choice.takes(kind, one.name)]
        except NotSupportedError as error:
            missing = error
            if len(choice.kinds) == 1:
                raise
    if missing is not None and not found:
        raise missing
    return found


@final
class Sights:
    """The counters that are wanted, by identity: as :func:`read`, and quicker when it is asked again and again.

    To be used from one thread at a time.

    Args:
        choice: which are wanted.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        # What a name of the kernel is called here, and None for those that are not wanted.
        self._objects: dict[bytes, Identity | None] = {}
        self._counters: dict[tuple[int, bytes, bytes], Identity | None] = {}

    def look(self) -> dict[Identity, Sight]:
        """All of them, as they are now.

        Raises:
            PermissionDeniedError, UnsteadyError, NotSupportedError, SourceError: as :func:`read`.
        """
        kinds, found = self._choice.kinds, {}
        try:
            found = self._nfacct() if Kind.NFACCT in kinds else {}
        except NotSupportedError:
            # Of objects that are to be there somebody must be told; a pattern may fit nothing.
            if Kind.NFT not in kinds or self._choice.ensure:
                raise
        return {**found, **self._nft()} if Kind.NFT in kinds else found

    def _nfacct(self) -> dict[Identity, Sight]:
        known, found, came = self._objects, {}, nfacct_list(0, 0)
        if len(known) > _KNOWN_PER_COUNTER * len(came):
            known.clear()  # names that come and go must not fill the memory
        for name, packets, octets, _, flags, quota in came:
            if name not in known:
                known[name] = self._called(Kind.NFACCT, text_of(name))
            identity = known[name]
            if identity is not None:
                plain = quota is None or not flags & _QUOTA_FLAGS
                found[identity] = Sight(packets, octets) if plain else _with_quota(packets, octets, flags, quota)
        return found

    def _nft(self) -> dict[Identity, Sight]:
        tables, counters = nft_counters_all()
        handles = {(family, name): handle for family, name, handle in tables}
        known, found = self._counters, {}
        if len(known) > _KNOWN_PER_COUNTER * len(counters):
            known.clear()
        for family, table, name, handle, _, packets, octets in counters:
            key = (family, table, name)
            if key not in known:
                known[key] = self._called(Kind.NFT, _nft_text(family, table, name))
            identity = known[key]
            if identity is not None:
                found[identity] = Sight(packets, octets, f"{handles.get((family, table), 0)}.{handle}")
        return found

    def _called(self, kind: Kind, text: str) -> Identity | None:
        return (kind, text) if self._choice.takes(kind, text) else None


def _with_quota(packets: int, octets: int, flags: int, quota: int | None) -> Sight:
    unit = nfacct.Unit.PACKETS if flags & _QUOTA_PACKETS else nfacct.Unit.BYTES
    return Sight(packets, octets, "", quota, unit.value, bool(flags & _OVERQUOTA))


def _nft_text(family: int, table: bytes, name: bytes) -> str:
    return " ".join((FAMILIES.get(family, str(family)), _word(table), _word(name)))


def as_row(one: Named) -> CounterRow:
    """The same as it is told to others."""
    sight = one.sight
    return CounterRow(
        kind=str(one.kind),
        name=one.name,
        packets=sight.packets,
        bytes=sight.bytes,
        rules=one.references,
        quota=sight.quota,
        quota_unit=sight.quota_unit,
        over_quota=sight.over_quota,
    )


def text_of(name: bytes) -> str:
    """The text of a name."""
    text = name.decode(errors="surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(letter if letter.isprintable() and letter != "\\" else _escaped(letter) for letter in text)


def name_of(text: str) -> bytes:
    """The name that has this text."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode(errors="surrogateescape"))


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    parts = (".*" if mark == "*" else "." if mark == "?" else re.escape(mark) for mark in text)
    return re.compile("".join(parts), re.DOTALL)


def _nfacct() -> list[Named]:
    return [
        Named(
            Kind.NFACCT,
            text_of(one.name),
            Sight(
                one.packets,
                one.bytes,
                "",
                None if one.quota is None else one.quota.limit,
                None if one.quota is None else one.quota.unit.value,
                None if one.quota is None else one.over_quota,
            ),
            # The kernel counts the object itself as one.
            one.references - 1,
        )
        for one in nfacct.list()
    ]


def _nft() -> list[Named]:
    tables, counters = nft_counters_all()
    handles = {(family, name): handle for family, name, handle in tables}
    return [
        Named(
            Kind.NFT,
            _nft_text(family, table, name),
            Sight(packets, octets, f"{handles.get((family, table), 0)}.{handle}"),
            references,
        )
        for family, table, name, handle, references, packets, octets in counters
    ]


def _word(name: bytes) -> str:
    """A name as one word: no rule of nft can have a blank in one, but the kernel lets others do so."""
    return text_of(name).replace(" ", "\\x20")


_readers: Final = {Kind.NFACCT: _nfacct, Kind.NFT: _nft}
