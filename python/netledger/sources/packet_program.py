"""Programs for the packet filter of the kernel: classic BPF, written with labels and laid out here. Pure.

The kernel runs a program on each packet, before the packet is copied anywhere. It knows jumps forward only, and those
with a condition reach over 255 instructions at most; :func:`assemble` puts a plain jump in between where that is not
enough.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Instruction: TypeAlias = tuple[int, int, int, int]
"""As the kernel has it (``struct sock_filter``): code, jump if true, jump if false, k."""

INSTRUCTIONS_MAX: Final = 4096
"""More are refused by the kernel (``BPF_MAXINSNS``)."""

# linux/bpf_common.h; the names are those that bpf_dbg and tcpdump -d print.
LD: Final = 0x20  # ld  [k]
LDH: Final = 0x28  # ldh [k]
LDB: Final = 0x30  # ldb [k]
LD_X: Final = 0x40  # ld  [x + k]
LDH_X: Final = 0x48  # ldh [x + k]
LDB_X: Final = 0x50  # ldb [x + k]
LD_LEN: Final = 0x80  # ld  #pktlen
LDX_LEN: Final = 0x81  # ldx #pktlen
LDX_HEADER: Final = 0xB1  # ldxb 4*([k]&0xf)
AND: Final = 0x54  # and #k
ADD: Final = 0x04  # add #k
JUMP: Final = 0x05  # ja  +k
JEQ: Final = 0x15  # jeq #k
JGE: Final = 0x35  # jge #k
RETURN: Final = 0x06  # ret #k

_CLASS: Final = 0x07
_CLASS_JUMP: Final = 0x05
_REACH: Final = 255
_WORD: Final = 0xFFFF_FFFF

NETWORK_HEADER: Final = -0x100000 & _WORD
"""Where a load begins that is to begin at the network header and not at the frame (linux/filter.h: SKF_NET_OFF)."""
PROTOCOL: Final = -0x1000 & _WORD
"""A load from here gives the Ethernet type of the packet."""


@dataclass(frozen=True, slots=True)
class Label:
    """A place to jump to."""

    name: str


@dataclass(frozen=True, slots=True)
class Op:
    """One instruction; ``yes`` and ``no`` are labels, and None is the instruction that follows."""

    code: int
    k: int = 0
    yes: str | None = None
    no: str | None = None


Part: TypeAlias = Label | Op


class TooLongError(ValueError):
    """A program has more instructions than it may have."""


def jump(label: str) -> Op:
    """Goes on elsewhere."""
    return Op(JUMP, 0, label)


def is_branch(code: int) -> bool:
    """Whether an instruction has a condition."""
    return code & _CLASS == _CLASS_JUMP and code != JUMP


def assemble(parts: Sequence[Part], *, instructions_max: int = INSTRUCTIONS_MAX) -> tuple[Instruction, ...]:
    """The program as the kernel takes it.

    Raises:
        TooLongError: it has more than ``instructions_max`` instructions.
        ValueError: it jumps back.
        KeyError: a label is nowhere.
    """
    far: set[int] = set()
    while True:
        places = _places(parts, far)
        more = {
            number
            for number, (part, place) in enumerate(zip(parts, places.starts, strict=True))
            if number not in far and isinstance(part, Op) and is_branch(part.code) and not _reaches(part, place, places)
        }
        if not more:
            break
        far |= more
    if places.size > instructions_max:
        raise TooLongError(f"{places.size} instructions for the kernel are too many, at most {instructions_max}")
    return tuple(_laid_out(parts, far, places))


def disassemble(program: Sequence[Instruction], name: str) -> list[Part]:
    """A program with labels in place of distances; they begin with ``name``, so that programs can be joined.

    Raises:
        ValueError: it jumps out of itself.
    """
    parts: list[Part] = []
    for number, (code, yes, no, k) in enumerate(program):
        following = number + 1
        parts.append(Label(f"{name}{number}"))
        if code == JUMP:
            parts.append(Op(code, 0, _within(program, following + k, name)))
        elif is_branch(code):
            ends = (_within(program, following + distance, name) for distance in (yes, no))
            parts.append(Op(code, k, *ends))
        else:
            parts.append(Op(code, k))
    return parts


@dataclass(frozen=True, slots=True)
class _Places:
    """Where everything is: of each part, of each label, and of the end."""

    starts: list[int]
    labels: dict[str, int]
    size: int


def _places(parts: Sequence[Part], far: Iterable[int]) -> _Places:
    starts, labels, place = [], {}, 0
    longer = frozenset(far)
    for number, part in enumerate(parts):
        starts.append(place)
        if isinstance(part, Label):
            labels[part.name] = place
        else:
            place += 3 if number in longer else 1
    return _Places(starts, labels, place)


def _distance(label: str | None, place: int, places: _Places) -> int:
    distance = 0 if label is None else places.labels[label] - place - 1
    if distance < 0:
        raise ValueError(f"a jump back to {label}")
    return distance


def _reaches(part: Op, place: int, places: _Places) -> bool:
    return all(_distance(label, place, places) <= _REACH for label in (part.yes, part.no))


def _laid_out(parts: Sequence[Part], far: set[int], places: _Places) -> Iterable[Instruction]:
    for number, (part, place) in enumerate(zip(parts, places.starts, strict=True)):
        if isinstance(part, Label):
            continue
        if number in far:
            yield part.code, 0, 1, part.k
            yield JUMP, 0, 0, 1 if part.yes is None else _distance(part.yes, place + 1, places)
            yield JUMP, 0, 0, _distance(part.no, place + 2, places)
        elif part.code == JUMP:
            yield JUMP, 0, 0, _distance(part.yes, place, places)
        elif is_branch(part.code):
            yield part.code, _distance(part.yes, place, places), _distance(part.no, place, places), part.k
        else:
            yield part.code, 0, 0, part.k


def _within(program: Sequence[Instruction], number: int, name: str) -> str:
    if number >= len(program):
        raise ValueError(f"a jump to {number} in a program of {len(program)}")
    return f"{name}{number}"
