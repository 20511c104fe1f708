"""A fact: something was somebody's for a time, as a source has told it. Facts are added, and never changed."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from netledger.attribution.targets import Kind, Target, is_mac
from netledger.errors import FactError

__all__ = [
    "ASSIGN",
    "FOREVER_NS",
    "IMPORT",
    "RESERVED",
    "Fact",
    "Kind",
    "Target",
    "check_subject",
    "learnt_subject",
    "printable",
]

ASSIGN: Final = "assign"
"""The source of what people say by ``netledger assign`` and its like."""
IMPORT: Final = "import"
"""The source of what logs of other programs said."""
RESERVED: Final = frozenset(("unknown", "external", "other", "unattributed"))
"""What reports say where there is no subject."""
FOREVER_NS: Final = (1 << 63) - 1
"""Later than any time that can be written down."""
SUBJECT_LENGTH_MAX: Final = 255
DETAIL_LENGTH_MAX: Final = 255
"""Characters of each name and each value."""
DETAILS_MAX: Final = 16

_LEARNT: Final = "user:"
_SOURCE_LENGTH_MAX: Final = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something belonged to somebody in [valid_from, valid_to), or to nobody as far as its source knows.

    Attributes:
        target: what.
        valid_from_ns: since when, UTC nanoseconds since 1970.
        valid_to_ns: until when; None is until further notice.
        subject: whose; None with ``mac`` None: nobody's, and that ends what the same source said before.
        mac: the device that had the address, of leases and neighbours: who is assigned to that device goes before
            ``subject``. Only of addresses.
        source: who says so: ``assign``, or the name of an ``[attribution.NAME]``.
        learnt_ns: when the ledger got to know; 0 until it has.
        detail: what else is known, for ``netledger assignments list``.
        id: its number in the ledger, greater than those of all that were learnt before; 0 until it has one.

    Raises:
        FactError: there can be no such fact. What a source was told by the network is told here that it is wrong.
    """

    target: Target
    valid_from_ns: int
    valid_to_ns: int | None = None
    subject: str | None
    mac: str | None = None
    source: str
    learnt_ns: int = 0
    detail: Mapping[str, str] = field(default_factory=dict, hash=False)
    id: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.valid_from_ns < FOREVER_NS:
            raise self._none("it begins at no time that can be written down")
        if self.valid_to_ns is not None and not self.valid_from_ns < self.valid_to_ns < FOREVER_NS:
            raise self._none("it ends before it begins", "an end is later than its beginning")
        if self.subject is not None:
            check_subject(self.subject)
        if self.mac is not None and (self.target.kind is not Kind.ADDRESS or not is_mac(self.mac)):
            raise self._none("only addresses have a device, in the form aa:bb:cc:dd:ee:ff")
        if not 1 <= len(self.source) <= _SOURCE_LENGTH_MAX or not self.source.isprintable():
            raise self._none("its source has no name")
        if self.detail:
            words = [*self.detail.keys(), *self.detail.values()]
            if len(self.detail) > DETAILS_MAX or any(not _is_printable(word) for word in words):
                raise self._none("its detail cannot be shown", "a few words that can be seen")

    def _none(self, cause: str, hint: str | None = None) -> FactError:
        return FactError(str(self.target), "", cause, hint)

    @property
    def end_ns(self) -> int:
        """Where it ends; :data:`FOREVER_NS` is until further notice."""
        return FOREVER_NS if self.valid_to_ns is None else self.valid_to_ns

    @property
    def is_claim(self) -> bool:
        """Whether it says that it was somebody's."""
        return self.subject is not None or self.mac is not None


def check_subject(text: str) -> None:
    """Refuses what nobody can be called.

    Raises:
        FactError: it is empty, too long, or has characters that cannot be seen.
    """
    if not text or text != text.strip():
        raise FactError(f"subject {text!r}", "", "a name begins and ends with something that can be seen")
    if len(text) > SUBJECT_LENGTH_MAX:
        raise FactError(
            f"subject {text[:20]!r}…", "", f"it has {len(text)} characters", f"at most {SUBJECT_LENGTH_MAX}"
        )
    if not text.isprintable():
        raise FactError(f"subject {text!r}", "", "it has characters that cannot be seen")


def given_subject(text: str) -> str:
    """A subject as people give it.

    Raises:
        FactError: nobody can be called so, or reports call something else so.
    """
    check_subject(text)
    if _is_reserved(text):
        hint = f"reports say so where there is no subject; choose another name, such as {_LEARNT}{text}"
        raise FactError(f"subject {text}", "", "this name has a meaning of its own", hint)
    return text


def learnt_subject(text: str) -> str:
    """A subject as a source has learnt it: one that reports call something else by gets ``user:`` before it.

    No two names become the same one.

    Raises:
        FactError: nobody can be called so.
    """
    # A name that looks like one of those behind user: is one behind it, too.
    rest = text
    while (plain := unicodedata.normalize("NFKC", rest)).startswith(_LEARNT):
        rest = plain.removeprefix(_LEARNT)
    learnt = f"{_LEARNT}{text}" if _is_reserved(rest) else text
    check_subject(learnt)
    return learnt


def _is_reserved(text: str) -> bool:
    """Whether people would read it as what reports say: letters of full width look the same to them."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", plain).strip() in RESERVED


def printable(text: str) -> str:
    """A text for ``detail``: what cannot be seen is written as in Python, and what is too long is cut."""
    seen = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return unicodedata.normalize("NFC", seen)[:DETAIL_LENGTH_MAX]


def _is_printable(word: str) -> bool:
    return len(word) <= DETAIL_LENGTH_MAX and word.isprintable()
