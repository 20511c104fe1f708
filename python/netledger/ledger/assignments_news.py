"""Which facts are news: those that change something of what their source says already of the same target."""

import heapq
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, final

from netledger.attribution.facts import FOREVER_NS, Fact, Kind, Target
from netledger.attribution.painting import Canvas, Piece, painted, within
from netledger.ledger.progress import Progress, no_progress

NOTHING: Final = "{}"
"""No detail, as text."""

_STEP: Final = 1000
_Group = tuple[str, Target]
"""What one source says of one target: that alone decides what is news of it."""
_Claim = tuple[str | None, str | None, str] | None
"""Subject, device and detail; None is nobody's."""
_Row = tuple[int, int, int, str | None, str | None, str]


@final
class News:
    """Which of some facts are to be written.

    Left out is what its source says already, and what others that come later replace as a whole: so what was written
    once is never news again, however it overlaps in itself.
    """

    def __init__(self, facts: Sequence[Fact], progress: Progress = no_progress) -> None:
        self._facts = facts
        self._progress = progress
        self._groups: dict[_Group, list[int]] = defaultdict(list)
        for position, fact in enumerate(facts):
            self._groups[fact.source, fact.target].append(position)
        self._found: dict[_Group, list[int]] = {}

    def choose(self, connection: sqlite3.Connection, after_id: int) -> list[int]:
        """The places of those that are to be written, in their order.

        Where it has chosen before, it looks again only at what was said behind ``after_id``.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        groups = (
            [group for group in _said(connection, after_id) if group in self._groups] if self._found else self._groups
        )
        for number, group in enumerate(groups):
            if number % _STEP == 0:
                self._progress("assignments", number, len(groups))
            self._found[group] = list(self._of_group(connection, group))
        return sorted(position for positions in self._found.values() for position in positions)

    def _of_group(self, connection: sqlite3.Connection, group: _Group) -> Iterator[int]:
        positions = self._groups[group]
        start_ns = min(self._facts[one].valid_from_ns for one in positions)
        end_ns = max(self._facts[one].end_ns for one in positions)
        return _changing(_present(connection, *group, start_ns, end_ns), self._facts, positions)


def _said(connection: sqlite3.Connection, after_id: int) -> Iterator[_Group]:
    """Of what something was said behind a number, by whom."""
    found = connection.execute("SELECT DISTINCT source, kind, target FROM assignments WHERE id > ?", (after_id,))
    return ((source, Target(Kind(kind), target)) for source, kind, target in found)


def claimed_by(connection: sqlite3.Connection, fact: Fact) -> str | None:
    """Whose its target is where the fact begins, as its source has said; None is nobody's.

    Raises:
        sqlite3.Error: the ledger cannot be read.
    """
    start_ns = fact.valid_from_ns
    for _, _, claim in _present(connection, fact.source, fact.target, start_ns, start_ns + 1):
        return None if claim is None else claim[0]
    return None


def text_of(detail: Mapping[str, str]) -> str:
    """Detail in the one form in which it is kept and compared."""
    return json.dumps(dict(detail), ensure_ascii=False, separators=(",", ":"), sort_keys=True) if detail else NOTHING


def _changing(present: list[Piece[_Claim]], facts: Sequence[Fact], positions: Sequence[int]) -> Iterator[int]:
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start_ns, end_ns, position in painted((facts[one].valid_from_ns, facts[one].end_ns, one) for one in positions):
        seen[position].append((start_ns, end_ns))
    # What is written covers what comes later in the same breath, unless that is written too.
    covered: Canvas[None] = Canvas()
    for position in positions:
        fact, parts = facts[position], seen[position]
        claim = (fact.subject, fact.mac, text_of(fact.detail)) if fact.is_claim else None
        if any(not covered.is_empty(*part) or not _is_said(present, *part, claim) for part in parts):
            covered.add(fact.valid_from_ns, fact.end_ns, None)
            yield position


def _is_said(present: list[Piece[_Claim]], start_ns: int, end_ns: int, claim: _Claim) -> bool:
    """Whether that is the claim already of all the time from start to end."""
    pieces = within(present, start_ns, end_ns)
    if any(said != claim for _, _, said in pieces):
        return False
    return claim is None or sum(end - begin for begin, end, _ in pieces) == end_ns - start_ns


def _present(
    connection: sqlite3.Connection, source: str, target: Target, start_ns: int, end_ns: int
) -> list[Piece[_Claim]]:
    """What the source says of the target from start to end, in the end."""
    told: list[Piece[_Claim]] = []
    for _, begin, end, subject, mac, detail in _newest_first(connection, source, target, start_ns, end_ns):
        told.append((begin, end, None if subject is None and mac is None else (subject, mac, detail)))
        if begin <= start_ns and end >= end_ns:  # nothing that was said before is seen
            break
    return painted(reversed(told))


def _newest_first(
    connection: sqlite3.Connection, source: str, target: Target, start_ns: int, end_ns: int
) -> Iterable[_Row]:
    """What was ever said of that time. Lazily, for it may be much, and the first is mostly enough."""
    # Apart: of what has an end the index finds what has not passed, and of what has none the newest.
    select = "SELECT id, valid_from, coalesce(valid_to, ?5), subject, mac, detail FROM assignments "
    wanted = "WHERE source = ?1 AND kind = ?2 AND target = ?3 AND valid_from < ?4 AND valid_to "
    values = (source, target.kind, target.value, end_ns, FOREVER_NS)
    ended = connection.execute(f"{select}{wanted} > ?6 ORDER BY id DESC", (*values, start_ns))
    endless = connection.execute(f"{select}{wanted} IS NULL ORDER BY id DESC", values)
    return heapq.merge(ended, endless, key=lambda row: -row[0])
