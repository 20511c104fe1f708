"""What named counters have counted, from one look at them to the next: pure arithmetic.

The kernel's counters only go up, unless somebody sets one back, or deletes it and makes it again. What was counted is
the difference to what was seen before. Where a counter is below that, or is another one by the same name, it began
anew: then what it has now is booked, and what it counted between the last look and that moment is not known. That is
written down. A tally tells neither for sure where it cannot be told: a counter that was set back and then counted more
than it had before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, final

from netledger.receipt import COUNT_MAX, Count, rfc3339
from netledger.schema import Change, Kind

Identity: TypeAlias = tuple[Kind, str]
"""Where a counter lives, and its name."""

# A receipt tells of so many counters by name.
_NAMED_MAX: Final = 8
_DISTURBING: Final = (Change.RESET, Change.REMADE, Change.GONE)
_WHAT_HAPPENED: Final = {
    Change.RESET: "set back",
    Change.REMADE: "deleted and made again",
    Change.GONE: "deleted",
}


@final
class Sight(NamedTuple):
    """A counter, as it was when the kernel was asked.

    Attributes:
        packets: how many it has counted.
        bytes: their IP total lengths.
        handle: another one when it was made again; empty where the kernel gives none.
        quota: its limit, or None.
        quota_unit: ``packets`` or ``bytes``, or None.
        over_quota: whether the limit was reached; None without one.
    """

    packets: int
    bytes: int
    handle: str = ""
    quota: int | None = None
    quota_unit: str | None = None
    over_quota: bool | None = None

    def follows(self, before: "Sight") -> bool:
        """Whether this may be what the counter has come to, if nobody touched it."""
        # The flag is cleared only by who sets the counter back.
        is_cleared = before.over_quota is True and self.over_quota is False and self.quota == before.quota
        is_below = self.packets < before.packets or self.bytes < before.bytes
        return not (is_cleared or is_below)


Sights: TypeAlias = Mapping[Identity, Sight]
"""All counters that were asked for, those of nfacct in the order in which the kernel lists them: as they were made."""


@final
@dataclass(slots=True)
class Entry:
    """A counter in an interval.

    Attributes:
        sight: as it was last seen.
        packets: booked so far.
        bytes: booked so far.
        change: what happened to it, the gravest thing.
        is_there: whether it was there at the last look.
        is_ours: whether it was made by us since then, so that its place says nothing.
    """

    sight: Sight
    packets: int = 0
    bytes: int = 0
    change: Change | None = None
    is_there: bool = True
    is_ours: bool = False

    def book(self, sight: Sight, packets: int, octets: int) -> None:
        """Takes a look over, and what it adds."""
        self.sight = sight
        self.packets += packets
        self.bytes += octets


@final
@dataclass(slots=True)
class Tally:
    """What was counted in one interval, so far. Not safe for concurrent use.

    Attributes:
        entries: by identity; those that are there in the order of the last look, then those that are gone.
        looked_ns: when the last look was, UTC nanoseconds.
        told: what happened, in words, for the receipt; the first of each kind.
        happened: how often it did.
    """

    looked_ns: int
    entries: dict[Identity, Entry] = field(default_factory=dict)
    told: dict[Change, list[str]] = field(default_factory=dict)
    happened: dict[Change, int] = field(default_factory=dict)

    @classmethod
    def begun(cls, sights: Sights, at_ns: int, known: Mapping[Identity, Count] | None = None) -> "Tally":
        """The first one of a meter: what the counters have by now is not booked, but for what is ``known`` of it."""
        tally = cls(at_ns)
        tally._begin(sights, known or {})
        return tally

    def _begin(self, sights: Sights, known: Mapping[Identity, Count]) -> None:
        before = []
        for identity, sight in sights.items():
            if identity in self.entries:  # it goes on; but in this place
                self.entries[identity] = self.entries.pop(identity)
                continue
            base = known.get(identity)
            if base is not None and sight.packets >= base.packets and sight.bytes >= base.bytes:
                packets, octets = sight.packets - base.packets, sight.bytes - base.bytes
                self.entries[identity] = Entry(sight, packets, octets)
                continue
            has_counted = bool(sight.packets or sight.bytes)
            self.entries[identity] = Entry(sight, change=Change.BASELINE if has_counted else None)
            before += [sight] if has_counted else []
        if before:
            packets, octets = sum(one.packets for one in before), sum(one.bytes for one in before)
            text = f"{_counters(len(before))} had {_amount(packets, octets)} before, which are not booked"
            self.told[Change.BASELINE], self.happened[Change.BASELINE] = [text], len(before)

    def look(self, sights: Sights, at_ns: int) -> bool:
        """Books what the counters have come to since the last look, and says whether somebody had touched them."""
        before = sum(self.happened.values())
        moved = self._moved(sights)
        entries: dict[Identity, Entry] = {}
        for identity, sight in sights.items():
            entry = self.entries.get(identity)
            if entry is None:
                entry = Entry(sight, sight.packets, sight.bytes)
                self._note(identity, entry, Change.APPEARED, f"appeared with {_had(sight)}, which are booked")
            elif not entry.is_there or (identity in moved and not entry.is_ours) or sight.handle != entry.sight.handle:
                self._begun_anew(identity, entry, sight, Change.REMADE, at_ns)
            elif sight != entry.sight and not sight.follows(entry.sight):
                self._begun_anew(identity, entry, sight, Change.RESET, at_ns)
            else:
                entry.book(sight, sight.packets - entry.sight.packets, sight.bytes - entry.sight.bytes)
            entry.is_there, entry.is_ours = True, False
            entries[identity] = entry
        for identity, entry in self.entries.items():
            if identity in sights:
                continue
            if entry.is_there:
                when = f"{_had(entry.sight)} when read at {rfc3339(self.looked_ns)}, not there at {rfc3339(at_ns)}"
                self._note(identity, entry, Change.GONE, when)
                entry.is_there = False
            entries[identity] = entry
        self.entries, self.looked_ns = entries, at_ns
        return sum(self.happened.values()) > before

    def made_again(self, identity: Identity, sight: Sight) -> None:
        """Notes that we have made a counter that was gone, with what it had: it goes on from there."""
        entry = self.entries.pop(identity, None)
        if entry is None:
            entry = Entry(sight)
        else:
            entry.sight, entry.is_there, entry.change = sight, True, Change.REMADE
        entry.is_ours = True
        self.entries[identity] = entry

    def restored(self, known: Mapping[Identity, Count], at_ns: int) -> None:
        """Takes over what was made again, while nobody looked, with what it had at some time before."""
        for identity, had in known.items():
            entry = self.entries.get(identity)
            if entry is not None:
                self._note(
                    identity,
                    entry,
                    Change.REMADE,
                    f"{_had(entry.sight)} when read at {rfc3339(self.looked_ns)}, "
                    f"made again with {_amount(had.packets, had.bytes)} until {rfc3339(at_ns)}",
                )
                self.made_again(identity, Sight(had.packets, had.bytes))

    def next(self) -> "Tally":
        """That of the interval behind, which begins with what was seen last. Counters that are gone are left out."""
        there = {
            identity: Entry(entry.sight, is_ours=entry.is_ours)
            for identity, entry in self.entries.items()
            if entry.is_there
        }
        return Tally(self.looked_ns, there)

    def next_of(self, sights: Sights, takes: Callable[[Identity], bool], known: Mapping[Identity, Count]) -> "Tally":
        """As :meth:`next`, of other counters: of those that ``takes`` says, which stood at ``sights`` at the last look.

        Those that this one has as well go on from there. Of the others the past is not booked, as in the first tally of
        a meter.
        """
        tally = self.next()
        tally.entries = {identity: entry for identity, entry in tally.entries.items() if takes(identity)}
        tally._begin({identity: sight for identity, sight in sights.items() if takes(identity)}, known)
        # What we have made since that look stands behind all that was there.
        made = [identity for identity in tally.entries if identity not in sights]
        for identity in made:
            tally.entries[identity] = tally.entries.pop(identity)
        return tally

    @property
    def booked(self) -> Count:
        """All that was booked. A packet may be in several counters, so this is for comparing and for nothing else."""
        return Count(
            min(COUNT_MAX, sum(entry.packets for entry in self.entries.values())),
            min(COUNT_MAX, sum(entry.bytes for entry in self.entries.values())),
        )

    def interrupted(self) -> str | None:
        """What is not known of the interval, and why; None where all is."""
        parts = [self._sentence(change) for change in _DISTURBING if change in self.happened]
        if any(entry.packets > COUNT_MAX or entry.bytes > COUNT_MAX for entry in self.entries.values()):
            parts.append("a counter has counted more than 64 bits can hold")
        return "; ".join(parts) or None

    def remarks(self) -> str | None:
        """What is worth saying, and does not put the numbers in doubt."""
        told = [text for change in (Change.BASELINE, Change.APPEARED) for text in self.told.get(change, ())]
        more = self.happened.get(Change.APPEARED, 0) - len(self.told.get(Change.APPEARED, ()))
        return "; ".join([*told, *([f"{_counters(more)} more appeared"] if more > 0 else [])]) or None

    def _moved(self, sights: Sights) -> frozenset[Identity]:
        """Objects of nfacct that were made after one that is younger than they were: they were made again.

        The kernel lists them as they were made. So behind the first one that is new, or that stood in front of one
        that it now stands behind, all are younger than the last look.
        """
        if [*sights] == [*self.entries]:  # as nearly always
            return frozenset()
        places = {identity: place for place, identity in enumerate(self.entries)}
        moved, highest, is_young = set(), -1, False
        for identity in (one for one in sights if one[0] is Kind.NFACCT):
            place = places.get(identity)
            is_young = is_young or place is None or place < highest
            if is_young and place is not None:
                moved.add(identity)
            highest = max(highest, -1 if place is None else place)
        return frozenset(moved)

    def _begun_anew(self, identity: Identity, entry: Entry, sight: Sight, change: Change, at_ns: int) -> None:
        then, now = rfc3339(self.looked_ns), rfc3339(at_ns)
        self._note(identity, entry, change, f"{_had(entry.sight)} when read at {then}, {_had(sight)} at {now}")
        entry.book(sight, sight.packets, sight.bytes)

    def _note(self, identity: Identity, entry: Entry, change: Change, what: str) -> None:
        is_graver = entry.change not in _DISTURBING or change in _DISTURBING
        entry.change = change if is_graver else entry.change
        self.happened[change] = self.happened.get(change, 0) + 1
        told = self.told.setdefault(change, [])
        if len(told) < _NAMED_MAX:
            told.append(f"{shown(identity)}{' ' if change is Change.APPEARED else ': '}{what}")

    def _sentence(self, change: Change) -> str:
        number, told = self.happened[change], self.told[change]
        rest = f", and {number - len(told)} more" if number > len(told) else ""
        words = ("was", "it", "it was") if number == 1 else ("were", "they", "they were")
        return (
            f"{_counters(number)} {words[0]} {_WHAT_HAPPENED[change]}, and what {words[1]} counted since {words[2]} "
            f"read last is not known ({', '.join(told)}{rest})"
        )


def shown(identity: Identity) -> str:
    """A counter as messages call it: ``nfacct web``, ``nft inet filter web``."""
    kind, name = identity
    return f"{kind} {name}"


def _had(sight: Sight) -> str:
    return _amount(sight.packets, sight.bytes)


def _amount(packets: int, octets: int) -> str:
    return f"{packets} packets ({octets} bytes)"


def _counters(number: int) -> str:
    return "1 counter" if number == 1 else f"{number} counters"
