"""Who held what at each time: the rules by which facts come to one answer. Pure.

docs/explanation/attribution.md says them for people.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, final

from netledger.attribution.facts import Fact
from netledger.attribution.painting import Piece, claims, painted, within
from netledger.attribution.targets import ADDRESS_BITS, Kind, Target, least_bits, network_of
from netledger.intervals import SECOND_NS


class Reason(StrEnum):
    """Why nobody is known."""

    NO_ASSIGNMENT = "no assignment"
    """Nobody ever held it, as far as is known."""
    GAP = "gap"
    """Somebody held it at another time."""
    CONFLICT = "conflict"
    """Several held it within the one interval, and nothing tells their traffic apart."""


class Place(NamedTuple):
    """What a row says of where its traffic belongs. What it does not say is None.

    Attributes:
        address: 16 bytes, IPv4 behind ``::ffff:``; of a prefix the first one.
        bits: how many of its 128 bits are meant: an IPv4 /24 has 120.
        interface: of the host's side.
        mark: of the connection.
    """

    address: bytes | None = None
    bits: int = ADDRESS_BITS
    interface: str | None = None
    mark: int | None = None


class Segment(NamedTuple):
    """A time in which somebody held a place.

    Attributes:
        start_ns: belongs to it.
        end_ns: belongs to the next.
        subject: who.
        fact: the one that names the subject.
    """

    start_ns: int
    end_ns: int
    subject: str
    fact: Fact


class Holder(NamedTuple):
    """Whose a row is.

    Attributes:
        subject: None when nobody is known.
        reason: why that is so, else None.
        held_ns: for how much of the row's time the subject held its address.
    """

    subject: str | None
    reason: Reason | None
    held_ns: int


_Named = tuple[str, Fact]
_Track = list[Piece[_Named]]


@final
class Timeline:
    """What facts come to. Not safe for concurrent use: it remembers what it has found out.

    100,000 facts take a second, and a place some microseconds.

    Args:
        facts: in the order in which they were learnt. What is not to be known is left out.
    """

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts: dict[Target, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._facts[fact.target].append(fact)
        self._networks: dict[int, dict[int, Target]] = defaultdict(dict)
        for target in self._facts:
            if target.kind is Kind.ADDRESS:
                number, bits = network_of(target)
                self._networks[bits][number >> (ADDRESS_BITS - bits)] = target
        self._lengths = sorted(self._networks, reverse=True)
        self._tracks: dict[Target, tuple[_Track, ...]] = {}

    def segments(self, place: Place, start_ns: int, end_ns: int) -> list[Segment]:
        """When somebody held it within [start, end), in order and without overlaps."""
        parts = [within(track, start_ns, end_ns) for track in self._floors(place)]
        parts = [part for part in parts if part]
        if not parts:
            return []
        # What goes before the others is painted last.
        seen = parts[0] if len(parts) == 1 else painted(piece for part in reversed(parts) for piece in part)
        return list(_joined(seen))

    def holder(self, place: Place, start_ns: int, end_ns: int) -> Holder:
        """Whose a row of [start, end) is."""
        segments = self.segments(place, start_ns, end_ns)
        return holder_of(segments, start_ns, end_ns, is_ever_held=bool(segments) or self.is_ever_held(place))

    def is_ever_held(self, place: Place) -> bool:
        """Whether somebody held it at any time."""
        return any(self._floors(place))

    def targets(self, at_ns: int) -> dict[str, list[Target]]:
        """What was assigned to whom at a moment, by subject. Of each target only what was said of itself."""
        found: dict[str, list[Target]] = defaultdict(list)
        for target in self._facts:
            for track in self._tracks_of(target):
                if part := within(track, at_ns, at_ns + 1):
                    found[part[0][2][0]].append(target)
                    break
        return dict(found)

    def _floors(self, place: Place) -> Iterator[_Track]:
        """What is said of a place, the most specific first."""
        networks = list(self._containing(place))
        is_single = bool(networks) and networks[0][0] == ADDRESS_BITS
        if is_single:
            yield from self._tracks_of(networks[0][1])
        if place.interface is not None:
            yield from self._tracks_of(Target(Kind.INTERFACE, place.interface))
        if place.mark is not None:
            yield from self._tracks_of(Target(Kind.MARK, str(place.mark)))
        for _, target in networks[is_single:]:
            yield from self._tracks_of(target)

    def _containing(self, place: Place) -> Iterator[tuple[int, Target]]:
        """Networks that a place lies in as a whole, the longest first."""
        if place.address is None:
            return
        number = int.from_bytes(place.address)
        least = least_bits(number)
        for bits in self._lengths:
            known = self._networks[bits] if least <= bits <= place.bits else {}
            if (target := known.get(number >> (ADDRESS_BITS - bits))) is not None:
                yield bits, target

    def _tracks_of(self, target: Target) -> tuple[_Track, ...]:
        """Who held a target by what was said of itself, and then by what was said of the devices that had it."""
        known = self._tracks.get(target)
        if known is None:
            facts = self._facts.get(target)
            known = self._tracks[target] = () if facts is None else self._found(facts)
        return known

    def _found(self, facts: Sequence[Fact]) -> tuple[_Track, ...]:
        told = _claimed(facts)
        direct: _Track = painted(
            (start_ns, end_ns, (fact.subject, fact))
            for start_ns, end_ns, fact in told
            if fact.mac is None and fact.subject is not None
        )
        devices = [one for one in told if one[2].mac is not None]
        return (direct, self._by_device(devices)) if devices else (direct,)

    def _by_device(self, told: Sequence[Piece[Fact]]) -> _Track:
        """The best of what is known of devices: who is assigned to one, else a name of its own, else its address."""
        assigned: _Track = []
        named: _Track = []
        bare: _Track = []
        for start_ns, end_ns, fact in told:
            if fact.mac is None:
                continue
            for track in self._tracks_of(Target(Kind.MAC, fact.mac)):
                assigned += within(track, start_ns, end_ns)
            if fact.subject is not None:
                (bare if fact.subject == fact.mac else named).append((start_ns, end_ns, (fact.subject, fact)))
        return painted([*bare, *named, *assigned])


def holder_of(segments: Sequence[Segment], start_ns: int, end_ns: int, *, is_ever_held: bool) -> Holder:
    """Whose a row of [start, end) is, of who held its place then.

    ``segments`` may reach beyond the row; ``is_ever_held`` says whether anybody held it at another time.
    """
    held: dict[str, int] = {}
    free_ns = end_ns - start_ns
    for one in segments:
        length_ns = min(one.end_ns, end_ns) - max(one.start_ns, start_ns)
        if length_ns > 0:
            held[one.subject] = held.get(one.subject, 0) + length_ns
            free_ns -= length_ns
    longest_ns = max((free_ns, *held.values()))
    subjects = [
        (subject, held_ns) for subject, held_ns in held.items() if held_ns >= SECOND_NS or held_ns == longest_ns
    ]
    match subjects:
        case []:
            return Holder(None, Reason.GAP if is_ever_held else Reason.NO_ASSIGNMENT, 0)
        case [(subject, held_ns)]:
            return Holder(subject, None, held_ns)
        case _:
            return Holder(None, Reason.CONFLICT, 0)


def _claimed(facts: Sequence[Fact]) -> list[Piece[Fact]]:
    """What all sources claim of one target, the latest learnt last. Of each source what it says in the end."""
    by_source: dict[str, list[tuple[int, Fact]]] = defaultdict(list)
    for position, fact in enumerate(facts):
        by_source[fact.source].append((position, fact))
    if len(by_source) == 1:
        return claims(facts)
    pieces = []
    for told in by_source.values():
        seen = painted((fact.valid_from_ns, fact.end_ns, (position, fact)) for position, fact in told)
        pieces += [(position, start_ns, end_ns, fact) for start_ns, end_ns, (position, fact) in seen if fact.is_claim]
    pieces.sort(key=lambda one: one[:2])
    return [(start_ns, end_ns, fact) for _, start_ns, end_ns, fact in pieces]


def _joined(pieces: Iterable[Piece[_Named]]) -> Iterator[Segment]:
    """As few segments as possible: what one fact says is cut by what goes before it, and by that alone."""
    last: Segment | None = None
    for start_ns, end_ns, (subject, fact) in pieces:
        if last is not None and last.end_ns == start_ns and last.fact is fact:
            last = last._replace(end_ns=end_ns)
            continue
        if last is not None:
            yield last
        last = Segment(start_ns, end_ns, subject, fact)
    if last is not None:
        yield last
