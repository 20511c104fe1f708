"""What to do with the open generations and pinned programs that a dead process left. Pure: decides, touches nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netledger.intervals import Moment
from netledger.sources.ruleset import Side
from netledger.sources.state import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A program that is pinned.

    Attributes:
        fingerprint: of what it was made for; None where it was never pinned to the end.
        generation: the one that it counts for; 0: none.
        generations: those that the kernel has rows of.
        broken: why it cannot be taken over, or None.
    """

    fingerprint: str | None = None
    generation: int = 0
    generations: frozenset[int] = frozenset()
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """Open generations of a dead process, sorted.

    Attributes:
        abandoned: their rows are gone; each with the reason.
        left: the kernel counts for them no more, and has their rows; oldest first.
        current: the kernel counts for it to this moment, or None.
        unused: noted, and never counted for.
    """

    abandoned: tuple[tuple[Facts, str], ...] = ()
    left: tuple[Facts, ...] = ()
    current: Facts | None = None
    unused: tuple[Facts, ...] = ()

    def end_of(self, facts: Facts) -> Moment | None:
        """Where one of them ended: where the one behind it began; None: there is none."""
        known = [*(each for each, _ in self.abandoned), *self.left, *([] if self.current is None else [self.current])]
        return next((each.start for each in sorted(known, key=lambda one: one.seq) if each.seq > facts.seq), None)


def sort_out(dead: Sequence[Facts], found: Mapping[Side, Found], boot: str) -> Inheritance:
    """Sorts ``dead`` (oldest first, none of them closed) by what is pinned."""
    abandoned: list[tuple[Facts, str]] = []
    left: list[Facts] = []
    unused: list[Facts] = []
    current: Facts | None = None
    for facts in dead:
        program = found.get(side_of(facts))
        if facts.boot_id != boot:
            abandoned.append((facts, "the machine was restarted"))
        elif program is not None and program.generation == facts.seq and facts.seq in program.generations:
            current = facts
        elif not facts.begun:
            unused.append(facts)
        elif program is None:
            abandoned.append((facts, "what was pinned was removed by someone else"))
        elif program.broken is not None:
            abandoned.append((facts, f"what was pinned was changed by someone else: {program.broken}"))
        elif facts.seq in program.generations:
            left.append(facts)
        else:
            abandoned.append((facts, "its rows were removed by someone else"))
    return Inheritance(abandoned=tuple(abandoned), left=tuple(left), current=current, unused=tuple(unused))


def stray(found: Mapping[Side, Found], inherited: Inheritance) -> tuple[Side, ...]:
    """Programs that are of no use: nobody knows what they counted for, or they never did."""
    known = [*inherited.left, *([] if inherited.current is None else [inherited.current])]
    needed = {side_of(facts) for facts in known}
    return tuple(side for side in found if side not in needed)


def side_of(facts: Facts) -> Side:
    """The place of the program that counts for a generation."""
    return "a" if facts.side == "a" else "b"
