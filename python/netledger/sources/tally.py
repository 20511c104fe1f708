"""What named counters have counted, from one look at them to the next: pure arithmetic.

The kernel's counters only go up, unless somebody sets one back, or deletes it and makes it again. What was counted is
the difference to what was seen before. Where a counter is below that, or is another one by the same name, it began
anew: then what it has now is booked, and what it counted between the last look and that moment is not known. That is
written down. Who makes a counter may put back what it had: so one that is new and has as much as the old one had is
booked only with what it has more, but where netledger has made it itself, and knows with what. A tally does not tell
what cannot be told: a counter that was set back and then counted more than it had before.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, final

from netledger.receipt import COUNT_MAX, Count, rfc3339
from netledger.schema import Change, Kind

Identity: TypeAlias = tuple[Kind, str]
"""Where a counter lives, and its name."""

# A receipt tells of so many counters by name.
_NAMED_MAX: Final = 8
# So many counters that are gone are remembered over intervals.
_GONE_MAX: Final = 4096
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


@final
class Made(NamedTuple):
    """That netledger has made a counter.

    Attributes:
        number: grows with each that is made.
        packets: with which it was made.
        bytes: the same.
        had: what the one before had when netledger saw it last; None where that is not known.
        had_ns: when that was, UTC nanoseconds; 0 where there was none since the machine was started.
        is_sure: False where it may as well not have come to that.
    """

    number: int
    packets: int
    bytes: int
    had: Count | None
    had_ns: int
    is_sure: bool


@final
class _New(NamedTuple):
    """What a counter that is new has counted since: the least, and what else it may be."""

    packets: int
    bytes: int
    most: Count | None = None

    def told(self) -> str:
        least = _amount(self.packets, self.bytes)
        if self.most is None:
            return f"{least} are booked"
        most = _amount(self.most.packets, self.most.bytes)
        return f"between {least} and {most} of these are new, and the least is booked"


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
        ours: number with which it was made by us since then, so that its place says nothing; else 0.
    """

    sight: Sight
    packets: int = 0
    bytes: int = 0
    change: Change | None = None
    is_there: bool = True
    ours: int = 0

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
        gone: what counters had that are gone since an interval before.
        made_seen: number of the newest that netledger had made at the last look.
    """

    looked_ns: int
    entries: dict[Identity, Entry] = field(default_factory=dict)
    told: dict[Change, list[str]] = field(default_factory=dict)
    happened: dict[Change, int] = field(default_factory=dict)
    gone: dict[Identity, Sight] = field(default_factory=dict)
    made_seen: int = 0

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

    def look(self, sights: Sights, at_ns: int, made: Mapping[Identity, Made] | None = None) -> bool:
        """Books what the counters have come to since the last look, and says whether somebody had touched them.

        ``made`` are those that netledger has made until then, and none that was made behind it.
        """
        before = sum(self.happened.values())
        moved = self._moved(sights)
        news = {identity: one for identity, one in (made or {}).items() if one.number > self.made_seen}
        entries: dict[Identity, Entry] = {}
        for identity, sight in sights.items():
            entry, one = self.entries.get(identity), news.get(identity) if news else None
            if entry is None:
                entry = self._appeared(identity, sight, one, at_ns)
            elif self._is_another(identity, entry, sight, moved, one):
                self._made_anew(identity, entry, sight, one, at_ns)
            elif sight != entry.sight and not sight.follows(entry.sight):
                self._set_back(identity, entry, sight, at_ns)
            else:
                entry.book(sight, sight.packets - entry.sight.packets, sight.bytes - entry.sight.bytes)
            entry.is_there, entry.ours = True, 0
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
        self.made_seen = max((one.number for one in news.values()), default=self.made_seen)
        return sum(self.happened.values()) > before

    def had(self, identity: Identity) -> Sight | None:
        """What a counter had when it was last seen, be it there or gone; None where it was never seen."""
        entry = self.entries.get(identity)
        return self.gone.get(identity) if entry is None else entry.sight

    def made_again(self, identity: Identity, sight: Sight, number: int) -> None:
        """Notes that we have made a counter that was gone, with what it had: it goes on from there."""
        entry = self.entries.pop(identity, None)
        if entry is None:
            entry = Entry(sight)
        else:
            entry.sight, entry.is_there, entry.change = sight, True, Change.REMADE
        entry.ours = number
        self.entries[identity] = entry
        self.gone.pop(identity, None)

    def next(self) -> "Tally":
        """That of the interval behind, which begins with what was seen last. Counters that are gone are left out."""
        there = {
            identity: Entry(entry.sight, ours=entry.ours) for identity, entry in self.entries.items() if entry.is_there
        }
        gone = {identity: entry.sight for identity, entry in self.entries.items() if not entry.is_there}
        remembered = dict([*self.gone.items(), *gone.items()][-_GONE_MAX:])
        return Tally(self.looked_ns, there, gone=remembered, made_seen=self.made_seen)

    def next_of(self, sights: Sights, takes: Callable[[Identity], bool], known: Mapping[Identity, Count]) -> "Tally":
        """As :meth:`next`, of other counters: of those that ``takes`` says, which stood at ``sights`` at the last look.

        Those that this one has as well go on from there. Of the others the past is not booked, as in the first tally of
        a meter.
        """
        tally = self.next()
        tally.entries = {identity: entry for identity, entry in tally.entries.items() if takes(identity)}
        tally.gone = {identity: sight for identity, sight in tally.gone.items() if takes(identity)}
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

    @staticmethod
    def _is_another(
        identity: Identity, entry: Entry, sight: Sight, moved: Collection[Identity], one: Made | None
    ) -> bool:
        """Whether it was made since the last look, but for what we have noted ourselves."""
        if not entry.is_there or sight.handle != entry.sight.handle:
            return True
        if one is not None and one.is_sure and one.number > entry.ours:
            return True
        return identity in moved and not entry.ours

    def _appeared(self, identity: Identity, sight: Sight, one: Made | None, at_ns: int) -> Entry:
        """It was not there at the last look, nor in this interval."""
        last, entry = self.gone.pop(identity, None), Entry(sight)
        new = _new(last, sight, one, self.looked_ns)
        if (new.packets, new.bytes, new.most) == (sight.packets, sight.bytes, None):
            self._note(identity, entry, Change.APPEARED, f"appeared with {_had(sight)}, which are booked")
        elif last is None and new.most is None:
            what = f"appeared with {_had(sight)}, {_by(one)}{new.told()}"
            self._note(identity, entry, Change.APPEARED, what)
        else:
            before = "not read before" if last is None else f"{_had(last)} when read last"
            what = f"{before}, {_had(sight)} at {rfc3339(at_ns)}, {_by(one)}{new.told()}"
            self._note(identity, entry, Change.REMADE, what)
        entry.book(sight, new.packets, new.bytes)
        return entry

    def _made_anew(self, identity: Identity, entry: Entry, sight: Sight, one: Made | None, at_ns: int) -> None:
        new = _new(entry.sight, sight, one, self.looked_ns)
        what = self._when(entry, sight, at_ns)
        if (new.packets, new.bytes, new.most) != (sight.packets, sight.bytes, None):
            what += f", {_by(one)}{new.told()}"
        self._note(identity, entry, Change.REMADE, what)
        entry.book(sight, new.packets, new.bytes)

    def _set_back(self, identity: Identity, entry: Entry, sight: Sight, at_ns: int) -> None:
        self._note(identity, entry, Change.RESET, self._when(entry, sight, at_ns))
        entry.book(sight, sight.packets, sight.bytes)

    def _when(self, entry: Entry, sight: Sight, at_ns: int) -> str:
        return f"{_had(entry.sight)} when read at {rfc3339(self.looked_ns)}, {_had(sight)} at {rfc3339(at_ns)}"

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


def _new(last: Sight | None, sight: Sight, one: Made | None, looked_ns: int) -> _New:
    """What a counter has counted that was made since the last look; ``last`` is what it had when it was read last."""
    if one is not None and _covers(sight, one):
        packets, octets = sight.packets - one.packets, sight.bytes - one.bytes
        # The one before may have counted on behind our look, until netledger saw it last.
        more = one.had if last is not None and one.had is not None and _covers(one.had, last) else None
        if more is not None and last is not None:
            packets, octets = packets + more.packets - last.packets, octets + more.bytes - last.bytes
        # One that we have not read may have come and gone since our look: that it had counted then.
        is_known = last is not None or one.had_ns <= looked_ns or not (one.packets or one.bytes)
        if one.is_sure and is_known:
            return _New(packets, octets)
        return _New(packets, octets, Count(packets + one.packets, octets + one.bytes))
    if last is not None and (last.packets or last.bytes) and _covers(sight, last):
        return _New(sight.packets - last.packets, sight.bytes - last.bytes, Count(sight.packets, sight.bytes))
    return _New(sight.packets, sight.bytes)


def _covers(one: Sight | Count, other: Sight | Made) -> bool:
    return one.packets >= other.packets and one.bytes >= other.bytes


def _by(one: Made | None) -> str:
    return "" if one is None else f"made by netledger with {_amount(one.packets, one.bytes)}, "


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
