"""Clocks on the wall: what a time zone shows at a moment, and at which moment it shows something.

Moments are UTC nanoseconds since 1970. A day begins when its date is first shown: where the clock is set forward at
midnight that is later than 00:00, and where it is set back at midnight 00:00 comes twice and the first one counts. Days
therefore follow each other without gap or overlap, whether they have 23, 24 or 25 hours.
"""

import os
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Final, final

from netledger.errors import UsageError

_MICROSECOND_NS: Final = 1_000
_SECOND_NS: Final = 1_000_000_000
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What 64-bit nanoseconds can hold, and what a clock can have seen.
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2261

LOCALTIME: Final = Path("/etc/localtime")
"""Where Linux keeps the zone of the machine."""

_ZONEINFO_FOLDER: Final = "zoneinfo/"


@final
@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone.

    Attributes:
        name: as people write it, such as ``Europe/Berlin``.
        rules: when its clock is set, and by how much.
    """

    name: str
    rules: tzinfo

    def shown(self, moment_ns: int) -> datetime:
        """What the clock shows, to the microsecond below."""
        return (_EPOCH + timedelta(microseconds=moment_ns // _MICROSECOND_NS)).astimezone(self.rules)

    def text(self, moment_ns: int) -> str:
        """The same for people, with its distance from UTC, so that the hour that comes twice is told apart."""
        clock = self.shown(moment_ns)
        spec = "minutes" if (clock.second, clock.microsecond) == (0, 0) else "auto"
        text = clock.replace(tzinfo=None).isoformat(sep=" ", timespec=spec)
        return f"{text} {clock.isoformat(timespec=spec)[len(text) :]}"

    def moment(self, clock: datetime) -> int:
        """The one moment at which the clock shows this; ``clock`` may name its own distance from UTC instead.

        Raises:
            ValueError: the clock never shows it, or shows it twice; the text says which.
        """
        if clock.tzinfo is not None:
            return nanoseconds(clock)
        first, second = (nanoseconds(clock.replace(tzinfo=self.rules, fold=fold)) for fold in (0, 1))
        if first == second:
            return first
        if first > second:
            raise ValueError(f"the clock of {self.name} is set forward over it")
        raise ValueError(f"the clock of {self.name} shows it twice")

    def day_start(self, day: date) -> int:
        """The first moment of a day."""
        midnight = datetime.combine(day, time(), self.rules)
        # Read with either distance from UTC: of a time that is skipped, one moment is before the change of the clock,
        # and the other one at it or behind; of a time that comes twice, these are the two.
        early, late = sorted(nanoseconds(midnight.replace(fold=fold)) for fold in (0, 1))
        if early == late or self.shown(early).replace(tzinfo=None) == midnight.replace(tzinfo=None):
            return early
        return self._first(early, late, lambda clock: clock.date() >= day)

    def next_hour(self, moment_ns: int) -> int:
        """Where the hour of the clock that holds this moment ends; a change of the clock ends it too."""
        clock = self.shown(moment_ns)
        passed = timedelta(minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
        left_ns = (timedelta(hours=1) - passed) // _MICROSECOND * _MICROSECOND_NS
        end_ns = moment_ns - moment_ns % _MICROSECOND_NS + left_ns
        distance = clock.utcoffset()
        if self.shown(end_ns).utcoffset() == distance:
            return end_ns
        return self._first(moment_ns, end_ns, lambda later: later.utcoffset() != distance)

    def _first(self, before_ns: int, after_ns: int, is_reached: Callable[[datetime], bool]) -> int:
        """The first whole second in (before, after] at which a condition holds that then goes on to hold."""
        before, after = before_ns // _SECOND_NS, after_ns // _SECOND_NS
        while after - before > 1:
            middle = (before + after) // 2
            if is_reached(self.shown(middle * _SECOND_NS)):
                after = middle
            else:
                before = middle
        return after * _SECOND_NS


def find(name: str | None, environment: Mapping[str, str] = os.environ, localtime: Path = LOCALTIME) -> Zone:
    """The zone of that name; without one, that of ``TZ`` in the environment, or else the machine's.

    Raises:
        UsageError: there is no such zone.
    """
    if name is not None:
        return _named(name, f"--timezone {name}")
    variable = environment.get("TZ", "").removeprefix(":")
    if variable.startswith("/"):
        return _read(Path(variable), f"TZ={variable}")
    if variable:
        return _named(variable, f"TZ={variable}")
    if localtime.exists():
        return _read(localtime, str(localtime))
    return Zone("UTC", UTC)


def nanoseconds(clock: datetime) -> int:
    """The moment of a time with its zone."""
    return (clock - _EPOCH) // _MICROSECOND * _MICROSECOND_NS


def _named(name: str, subject: str) -> Zone:
    if name.upper() == "UTC":
        return Zone("UTC", UTC)
    try:
        return Zone(name, zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = "write it as Europe/Berlin or UTC; the package tzdata holds the list"
        raise UsageError(subject, "", "no such time zone", hint) from error


def _read(file: Path, subject: str) -> Zone:
    path = str(file.resolve())
    _, found, name = path.rpartition(_ZONEINFO_FOLDER)
    try:
        with file.open("rb") as opened:
            return Zone(name if found else path, zoneinfo.ZoneInfo.from_file(opened, key=name if found else path))
    except (ValueError, OSError) as error:
        raise UsageError(subject, "", "not a time zone", "name one by --timezone, as in Europe/Berlin") from error
