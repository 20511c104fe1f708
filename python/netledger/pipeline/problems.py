"""What is wrong at this moment, for whoever asks: noted when it begins, taken out when it is over."""

import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, final

from netledger.errors import NetledgerError
from netledger.intervals import Clock, SystemClock


class Trouble(StrEnum):
    """What can be wrong while the program counts. Scripts hold on to these words."""

    STORE = "store_not_written"
    """Intervals cannot be committed and wait."""
    EXPORT = "export_failing"
    """Committed intervals could not be exported."""
    NOT_COUNTING = "not_counting"
    """A meter could not be opened."""
    SOURCE = "source_broke"
    """A meter's source ended by itself, and was started again or could not be."""
    CUT = "cut_failing"
    """An interval could not be closed in time."""
    CLOCK = "clock_stepped_back"
    """The clock is far behind the open interval's end."""
    TABLE = "table_full"
    """There are more rows than ``rows_max``; what is beyond is counted without detail."""
    LOSS = "packets_lost"
    """The receive buffer was too small for what came."""
    DISTURBED = "count_disturbed"
    """Somebody has disturbed what counts: packets of the open interval may have passed uncounted."""
    UNPINNED = "not_pinned"
    """What counts in the kernel is held by this process alone: a kill would lose what was counted."""
    INTERFACE = "interface_not_there"
    """Nothing is counted at an interface that a meter names, for there is none of this name."""
    HOUSEKEEPING = "housekeeping_failing"
    """The store is not kept in order."""
    QUOTA = "quota_not_kept"
    """A quota cannot be looked after: what it limits may pass."""
    QUOTA_LATE = "quota_late"
    """Somebody has set the object of a quota back: the kernel cuts later than agreed."""
    ATTRIBUTION = "attribution_failing"
    """It is not learnt any more, somewhere, whose an address is; what was learnt stays."""
    RELOAD = "reload_refused"
    """The configuration was changed, and the changed one is wrong."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong.

    Attributes:
        what: the kind of it.
        meter: whose it is, or None when it is everybody's.
        export: of which export, or None where it is about none.
        why: the cause, in the system's words where there are any.
        hint: how to mend it, or None.
        since_ns: when it was first noted, UTC nanoseconds.
    """

    what: Trouble
    meter: str | None
    why: str
    hint: str | None
    since_ns: int
    export: str | None = None


@final
class Problems:
    """The register of what is wrong. Safe to use from any thread; no call blocks."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._noted: dict[tuple[Trouble, str | None, str | None], Problem] = {}

    def note(
        self, what: Trouble, why: str, *, meter: str | None = None, export: str | None = None, hint: str | None = None
    ) -> None:
        """Something is wrong, or still is. It keeps the time at which it began; the words are the newest."""
        now_ns = self._clock.now().wall_ns
        problem = Problem(what=what, meter=meter, export=export, why=why, hint=hint, since_ns=now_ns)
        with self._lock:
            before = self._noted.get((what, meter, export), problem)
            self._noted[what, meter, export] = replace(problem, since_ns=before.since_ns)

    def note_error(
        self,
        what: Trouble,
        error: Exception,
        *,
        meter: str | None = None,
        export: str | None = None,
        hint: str | None = None,
    ) -> None:
        """The same for an error with its own hint, or else one that follows from what the system says."""
        own = error.hint if isinstance(error, NetledgerError) else None
        self.note(what, str(error), meter=meter, export=export, hint=own or _system_hint(str(error)) or hint)

    def clear(self, what: Trouble, *, meter: str | None = None, export: str | None = None) -> None:
        """It is over."""
        with self._lock:
            self._noted.pop((what, meter, export), None)

    def set(self, what: Trouble, why: str | None, *, meter: str | None = None, hint: str | None = None) -> None:
        """Notes or clears, by whether there is a reason."""
        if why is None:
            self.clear(what, meter=meter)
        else:
            self.note(what, why, meter=meter, hint=hint)

    def all(self) -> list[Problem]:
        """What is wrong now, the oldest first."""
        with self._lock:
            found = list(self._noted.values())
        return sorted(found, key=lambda one: (one.since_ns, one.what, one.meter or "", one.export or ""))


_SYSTEM_HINTS: Final = (
    (
        ("no space left", "disk is full", "quota exceeded"),
        "free some space there; what waits is committed then",
    ),
    (("read-only", "readonly"), "mount it writable again; what waits is committed then"),
    (("permission denied", "not permitted", "unable to open"), "let the user of the service write there again"),
    (("input/output error", "disk i/o error"), "the disk is broken or gone: look at the kernel's log (dmesg)"),
)


def _system_hint(text: str) -> str | None:
    """What follows from the words of the system or of SQLite."""
    lowered = text.lower()
    for words, hint in _SYSTEM_HINTS:
        if any(word in lowered for word in words):
            return hint
    return None
