"""Lists of words on the command line: kinds of output, kinds of events, bits of the status.

A word may be cut, and the first that fits is taken. The odd ones are SRC_NAT and DST_NAT: every list knows them, warns
and goes on.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from netledger.compat.conntrack.refusal import bad_parameter
from netledger.compat.conntrack.request import Kinds, Output, Warn

__all__ = ["STATUS_BITS", "output_words", "parse_kinds", "parse_status"]

T = TypeVar("T")

STATUS_BITS: Final = {
    "ASSURED": 1 << 2,
    "SEEN_REPLY": 1 << 1,
    "UNSET": 0,
    "FIXED_TIMEOUT": 1 << 10,
    "EXPECTED": 1 << 0,
    "OFFLOAD": 1 << 14,
    "HW_OFFLOAD": 1 << 15,
}
_KINDS: Final = {"ALL": Kinds.ALL, "NEW": Kinds.NEW, "UPDATES": Kinds.UPDATES, "DESTROY": Kinds.DESTROY}
_OUTPUTS: Final = {
    "xml": Output.XML,
    "extended": Output.EXTENDED,
    "timestamp": Output.TIMESTAMP,
    "id": Output.ID,
    "ktimestamp": Output.KERNEL_TIMESTAMP,
    "labels": Output.LABELS,
    # The program that caused an event is told without being asked for.
    "userspace": Output.LINE,
    "save": Output.SAVE,
}
_ELSEWHERE: Final = {"SRC_NAT": "--src-nat", "DST_NAT": "--dst-nat"}
_UNREPLIED = "UNREPLIED"


def output_words(text: str, warn: Warn) -> list[Output]:
    """How to show flows.

    Raises:
        Refusal: a word that is none.
    """
    return list(_values(text, _OUTPUTS, warn))


def parse_kinds(text: str, warn: Warn) -> Kinds:
    """Which events.

    Raises:
        Refusal: a word that is none.
    """
    kinds = Kinds.NONE
    for kind in _values(text, _KINDS, warn):
        kinds |= kind
    return kinds


def parse_status(text: str, warn: Warn) -> tuple[int, int]:
    """Bits that must be set, and bits that must not: ``!WORD``, or UNREPLIED for !SEEN_REPLY.

    Raises:
        Refusal: a word that is none.
    """
    wanted = unwanted = 0
    rest = text
    while True:
        word, comma, behind = rest.partition(",")
        negated = word.startswith("!")
        word = word.removeprefix("!")
        if negated:
            rest = rest[1:]
        if not negated and word.startswith(_UNREPLIED):
            unwanted |= STATUS_BITS["SEEN_REPLY"]
        else:
            bits = _value(word, STATUS_BITS, warn)
            if not word or (bits is None and not _is_elsewhere(word)):
                raise bad_parameter(f"Bad parameter `{rest}'")
            wanted |= 0 if negated else bits or 0
            unwanted |= bits or 0 if negated else 0
        if not comma:
            return wanted, unwanted
        rest = behind


def _values(text: str, known: Mapping[str, T], warn: Warn) -> Iterable[T]:
    rest = text
    while True:
        word, comma, behind = rest.partition(",")
        value = _value(word, known, warn) if word else None
        if value is not None:
            yield value
        elif not _is_elsewhere(word):
            raise bad_parameter(f"Bad parameter `{rest}'")
        if not comma:
            return
        rest = behind


def _value(word: str, known: Mapping[str, T], warn: Warn) -> T | None:
    """What the word stands for; None if it is unknown, or one of those that are only warned of."""
    if not word:
        return None
    elsewhere = next((name for name in _ELSEWHERE if name.startswith(word.upper())), None)
    if elsewhere is not None:
        warn(f"WARNING: ignoring {elsewhere}, use {_ELSEWHERE[elsewhere]} instead")
        return None
    return next((value for name, value in known.items() if name.lower().startswith(word.lower())), None)


def _is_elsewhere(word: str) -> bool:
    return bool(word) and any(name.startswith(word.upper()) for name in _ELSEWHERE)
