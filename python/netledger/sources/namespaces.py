"""Network namespaces that meters name: entered by threads of their own, and never kept alive when they are given up.

A namespace lives as long as anything holds it: a process in it, a socket, an open descriptor, a pinned link. Its file
is a name and no more. So what counts in one looks from time to time whether the name still means the same one, and lets
go when it does not.
"""

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, final

from netledger.errors import NamespaceAbsentError, PermissionDeniedError, SourceError
from netledger.sources.privileges import CAP_SYS_ADMIN, hint

T = TypeVar("T")

_NAMED: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x4000_0000
_NS_GET_NSTYPE: Final = 0xB703
_HINT_ABSENT: Final = "it is counted as soon as it is there"
_AFTER_A_RELOAD: Final = "; after a reload: restart"

_libc = ctypes.CDLL(None, use_errno=True)


def _hint_denied() -> str:
    return f"{hint(CAP_SYS_ADMIN)}{_AFTER_A_RELOAD}"


def own_inode() -> int:
    """Of the calling thread's network namespace."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def inode_of(path: str) -> int | None:
    """Of the namespace that a file names now; None when there is none of this name."""
    place = Namespace(path)
    try:
        place.open()
    except SourceError:
        return None
    try:
        return place.inode
    finally:
        place.close()


def name_of(inode: int) -> str | None:
    """The file of a namespace among those that ``ip netns`` keeps; None when it has no name there."""
    try:
        names = sorted(_NAMED.iterdir())
    except OSError:
        return None
    return next((str(path) for path in names if inode_of(str(path)) == inode), None)


@final
class Namespace:
    """One network namespace. :meth:`run` and :meth:`is_there` may be called from any thread.

    Args:
        path: its file, such as ``/run/netns/guests``.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """Takes hold of it; from now on it lives at least until :meth:`close`.

        Raises:
            NamespaceAbsentError: there is none of this name.
            PermissionDeniedError: its file may not be opened.
            SourceError: the file cannot be opened.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise self._absent("no such file") from None
        except PermissionError as error:
            raise PermissionDeniedError(self._subject, "open", "permission denied", _hint_denied()) from error
        except OSError as error:
            raise SourceError(self._subject, "open", (error.strerror or str(error)).lower()) from error
        try:
            # A name whose namespace was unmounted, or is not mounted yet, is an empty file.
            kind = fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
        except OSError:
            kind = 0
        if kind != _CLONE_NEWNET:
            os.close(descriptor)
            raise self._absent("it is no network namespace")
        self._descriptor = descriptor

    def close(self) -> None:
        """Lets go. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    @property
    def inode(self) -> int:
        """Its number among all namespaces that live now.

        Raises:
            SourceError: it is not open.
        """
        return os.fstat(self._held()).st_ino

    def is_there(self) -> bool:
        """Whether the name still means the one that is held."""
        if self._descriptor is None:
            return False
        held = os.fstat(self._descriptor)
        try:
            named = Path(self.path).stat()
        except OSError:
            return False
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def run(self, function: Callable[[], T]) -> T:
        """Calls a function in it, in a thread made for that, and waits for its end. What it raises is raised here.

        A thread that could not come back would count for the wrong machine: so none has to.

        Raises:
            PermissionDeniedError: it may not be entered.
            SourceError: it cannot be entered.
        """
        results: list[T] = []
        failures: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                results.append(function())
            except BaseException as error:  # noqa: BLE001  (it is raised again, in the thread that waits for it)
                failures.append(error)

        thread = threading.Thread(target=inside, name=f"in {self.path}")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def _enter(self) -> None:
        if _libc.setns(self._held(), _CLONE_NEWNET) == 0:
            return
        number = ctypes.get_errno()
        cause = os.strerror(number).lower()
        if number == errno.EPERM:
            raise PermissionDeniedError(self._subject, "enter", cause, _hint_denied())
        raise SourceError(self._subject, "enter", cause)

    def _held(self) -> int:
        if self._descriptor is None:
            raise SourceError(self._subject, "enter", "not open")
        return self._descriptor

    @property
    def _subject(self) -> str:
        return f"network namespace {self.path}"

    def _absent(self, cause: str) -> NamespaceAbsentError:
        return NamespaceAbsentError(self._subject, "open", cause, _HINT_ABSENT)
