"""Following who has which address, so that each byte is booked to whoever had it when it passed."""

import json
import os
from pathlib import Path
from typing import Final, final

from netledger.compat.nacctd.debugging import DebugFile, Topic
from netledger.compat.nacctd.holders import Holders
from netledger.compat.nacctd.looking import UTMP, place_of
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.syslog import Syslog
from netledger.compat.nacctd.watch import Watch
from netledger.intervals import SECOND_NS, Moment

__all__ = ["Users"]

# Looked at without being told: as long as the kernel does not tell, and in case it cannot (a network file system, a
# writer that never closes).
_UNWATCHED_NS: Final = SECOND_NS
_WATCHED_NS: Final = 5 * SECOND_NS
# A burst of logins shares a cut.
_BETWEEN_NS: Final = SECOND_NS // 10
_NOTE: Final = "holders.json"


@final
class Users:
    """Who has what, and since when. Not safe for concurrent use.

    A generation starts when somebody else has something. Since when who has what is noted beside the table files, for a
    process that finds both, by the monotonic clock. Neither outlives the machine: nothing here is made durable.
    """

    def __init__(self, table: Table, runtime: Path, log: Syslog, debug: DebugFile, *, utmp: str = UTMP) -> None:
        self._place = place_of(table, utmp=utmp)
        self._utmp = utmp
        self._note = runtime / _NOTE
        self._log = log
        self._debug = debug
        self._watch = Watch()
        self._noted: dict[int, Holders] = {}
        self._is_stirred = True
        self._is_missing = False
        self._rescan_ns = 0
        self._earliest_ns = 0
        self.holders: Holders = {}
        self.seen: Holders = {}

    def begin(self, now: Moment) -> None:
        """Looks for the first time; what is found holds from now on."""
        self.look(now)
        self.note(now)
        self.hand_over(now)

    def recall(self) -> None:
        """Reads what an earlier process has noted."""
        try:
            noted = json.loads(self._note.read_text())
            self._noted = {int(since_ns): dict(holders) for since_ns, holders in noted.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError, TypeError) as error:
            self._log.warning(f"who had which address is not known any more: {self._note}: {error}")

    def fileno(self) -> int:
        """To wait for changes; -1 while the kernel does not tell of any."""
        return self._watch.fileno()

    @property
    def due_ns(self) -> int:
        """When to look again, by the monotonic clock."""
        return self._earliest_ns if self._is_stirred else self._rescan_ns

    def look(self, now: Moment) -> bool:
        """Whether somebody else has something than :attr:`holders` says; :attr:`seen` says who."""
        if self._place.watched is None:
            self._is_stirred = False
            self._rescan_ns = now.monotonic_ns + _WATCHED_NS
            return False
        self._is_stirred |= self._watch.news()
        if now.monotonic_ns < self.due_ns:
            return False
        if not self._watch.is_on:
            self._watch.turn_on(*self._place.watched)
        self._is_stirred = False
        self._rescan_ns = now.monotonic_ns + (_WATCHED_NS if self._watch.is_on else _UNWATCHED_NS)
        self.seen = self._look_there(self._place.watched[0], now.wall_ns)
        return self.seen != self.holders

    def hand_over(self, now: Moment) -> None:
        """From now on :attr:`seen` holds."""
        for address in sorted({*self.seen, *self.holders}):
            user = self.seen.get(address)
            if user != self.holders.get(address):
                what = f"found {user} for {address}" if user else f"nobody has {address} any more"
                self._debug.tell(Topic.DYNA, what)
        self.holders = self.seen
        self._earliest_ns = now.monotonic_ns + _BETWEEN_NS

    def note(self, now: Moment) -> None:
        """Notes that :attr:`seen` holds from a moment on, which is the start of a generation."""
        self._noted[now.monotonic_ns] = self.seen
        temporary = self._note.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps({str(since_ns): each for since_ns, each in self._noted.items()}))
            temporary.replace(self._note)
        except OSError as error:
            self._log.warning(f"who has which address cannot be noted: {temporary}: {os.strerror(error.errno or 0)}")

    def holders_at(self, start_ns: int) -> Holders:
        """Who held during the generation that started at a moment."""
        known = [since_ns for since_ns in self._noted if since_ns <= start_ns]
        return self._noted[max(known)] if known else self.holders

    def forget(self, start_ns: int) -> None:
        """Nobody will ask for generations that started earlier any more."""
        known = [since_ns for since_ns in self._noted if since_ns <= start_ns]
        for since_ns in known:
            if since_ns != max(known):
                del self._noted[since_ns]

    def move(self, table: Table, now: Moment) -> None:
        """Follows another place from now on."""
        self._watch.turn_off()
        self._place = place_of(table, utmp=self._utmp)
        self._is_stirred, self._earliest_ns = True, 0
        self.seen = {}
        self.begin(now)

    def close(self) -> None:
        """Lets go of the directory. May be called twice."""
        self._watch.turn_off()

    def _look_there(self, directory: str, wall_ns: int) -> Holders:
        try:
            holders = self._place.look(wall_ns)
        except OSError as error:
            # Told once, not for each packet.
            if not self._is_missing:
                self._log.error(f"couldn't stat {error.filename or directory}: {os.strerror(error.errno or 0)}")
            self._is_missing = True
            return {}
        self._is_missing = False
        return holders
