"""Being told of changes in a directory by the kernel, for as long as there is one."""

import os
from contextlib import ExitStack
from typing import Final, final

from netledger.errors import LearnerError
from netledger.learners import inotify
from netledger.learners.inotify import What

__all__ = ["Watch"]

# A file is looked at when its writer has closed it: before, its first line is not there yet.
_WANTED: Final = What.CLOSE_WRITE | What.MOVED_FROM | What.MOVED_TO | What.CREATE | What.DELETE
_GONE: Final = What.DELETE_SELF | What.MOVE_SELF | What.UNMOUNT | What.IGNORED


@final
class Watch:
    """Watches the names in one directory. Not safe for concurrent use."""

    def __init__(self) -> None:
        self._watch: inotify.Watch | None = None
        self._end = ExitStack()
        self._name: bytes | None = None

    @property
    def is_on(self) -> bool:
        """Whether the kernel tells of changes."""
        return self._watch is not None

    def fileno(self) -> int:
        """To poll for news; -1 while it is off."""
        return -1 if self._watch is None else self._watch.fileno()

    def turn_on(self, directory: str, name: str | None) -> bool:
        """Watches a directory, or only what happens to one name in it; tells whether that is possible."""
        self.turn_off()
        self._name = None if name is None else os.fsencode(name)
        try:
            self._watch = self._end.enter_context(inotify.Watch(os.fsencode(directory), _WANTED))
        except (OSError, LearnerError):
            return False
        return True

    def turn_off(self) -> None:
        """Lets go of the directory. May be called twice."""
        self._end.close()
        self._watch = None

    def news(self) -> bool:
        """Whether something has changed since the last call. A directory that is gone turns the watch off."""
        changed = is_gone = False
        for event in self._watch.events() if self._watch is not None else ():
            is_gone |= bool(event.what & _GONE)
            changed |= bool(event.what & (_GONE | What.OVERFLOW)) or self._name in {None, event.name}
        if is_gone:
            self.turn_off()
        return changed
