"""Files that other programs write: when it is time to look at them again."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, final

from netledger.learners.base import Stop
from netledger.learners.inotify import Event, Watch, What

LOOK_SECONDS: Final = 60.0
"""They are looked at so often in any case: some file systems tell nothing of what other machines do to them."""

_WANTED: Final = (
    What.MODIFY | What.ATTRIB | What.CLOSE_WRITE | What.MOVED_FROM | What.MOVED_TO | What.CREATE | What.DELETE
)
_GONE: Final = What.DELETE_SELF | What.MOVE_SELF | What.UNMOUNT | What.IGNORED
_AGAIN_SECONDS: Final = 1.0
# One who never stops to write is looked at all the same.
_CALM_SECONDS_MAX: Final = 0.5


def never() -> float:
    """No need to look again by the clock."""
    return math.inf


@final
class Following:
    """Follows a file and others beside it, which need not be there.

    Args:
        path: the file; a link is followed to where it leads, also when that becomes another place.
        beside: how the names of the others end, behind the name of the file.
        calm_seconds: look only when nothing was written for so long: for files that make no sense half written.
    """

    def __init__(self, path: Path, *, beside: Sequence[str] = (), calm_seconds: float = 0.0) -> None:
        self._path = path
        self._beside = tuple(beside)
        self._calm_seconds = calm_seconds
        self._names: frozenset[bytes] = frozenset()
        self._real = path

    def looks(self, stop: Stop, *, due_seconds: Callable[[], float] = never) -> Iterator[None]:
        """Gives each time at which to look, the first at once; ends when it is time to stop.

        Nothing that is written behind a look is missed by the next. ``due_seconds`` says behind each look when to look
        again at the latest.

        Raises:
            LearnerError: the kernel has no more watches for this user.
        """
        while not stop.is_set():
            self._real = real = self._path.resolve()
            self._names = frozenset(os.fsencode(f"{real.name}{end}") for end in ("", *self._beside))
            places = dict.fromkeys((real.parent, self._path.parent.resolve()))
            try:
                with ExitStack() as exits:
                    watches = [exits.enter_context(Watch(os.fsencode(place), _WANTED)) for place in places]
                    yield
                    while self._waited(watches, stop, due_seconds()):
                        yield
            except OSError:
                yield  # who looks will find out why
            stop.wait(_AGAIN_SECONDS)

    def _waited(self, watches: Sequence[Watch], stop: Stop, due_seconds: float) -> bool:
        """Blocks until it is time to look; False when it is to be watched anew, or it is time to stop."""
        if self._path.resolve() != self._real:
            return False  # since before there was somebody to tell
        deadline = time.monotonic() + max(0.0, min(due_seconds, LOOK_SECONDS))
        while (rest_seconds := deadline - time.monotonic()) > 0:
            if stop.wait(rest_seconds, *(watch.fileno() for watch in watches)):
                return False
            events = [event for watch in watches for event in watch.events()]
            if any(event.what & _GONE for event in events) or self._path.resolve() != self._real:
                return False
            if any(self._is_of_them(event) for event in events):
                return not self._calm_seconds or self._is_calm(watches, stop)
        return not stop.is_set()

    def _is_calm(self, watches: Sequence[Watch], stop: Stop) -> bool:
        """Blocks until nothing has been written for a moment; False as above."""
        deadline = time.monotonic() + _CALM_SECONDS_MAX
        while time.monotonic() < deadline:
            if stop.wait(self._calm_seconds, *(watch.fileno() for watch in watches)):
                return False
            events = [event for watch in watches for event in watch.events()]
            if any(event.what & _GONE for event in events):
                return False
            if not events:
                break
        return True

    def _is_of_them(self, event: Event) -> bool:
        return event.name in self._names or bool(event.what & What.OVERFLOW)
