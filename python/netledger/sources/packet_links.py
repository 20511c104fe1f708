"""The interfaces of a network namespace as they come, go and change their names. By rtnetlink.

The kernel's news are read by a thread; pyroute2 reads what they say. Nothing of it is needed to count: an interface
that nobody has told of yet is counted from its first packet.
"""

import errno
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, final

from netledger.errors import NetledgerError, SourceError
from netledger.sources.interfaces import fits

GONE_MAX: Final = 4096
"""So many interfaces that are gone are remembered by name."""

_RTMGRP_LINK: Final = 1
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_NLM_F_REQUEST_DUMP: Final = 0x301
_NLM_F_DUMP_INTR: Final = 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DATAGRAM_BYTES: Final = 1 << 16
_BUFFER_BYTES: Final = 4 << 20
_ASKED_SECONDS: Final = 5.0
# The first news are told at once; hundreds may follow, and what comes meanwhile is told together.
_GATHER_SECONDS: Final = 0.02

_LOOPBACK: Final = 772


@dataclass(frozen=True, slots=True)
class Link:
    """An interface.

    Attributes:
        name: as it is called.
        kind: ``vlan``, ``bridge`` and the like; empty for hardware.
        lower: index of the interface whose packets it has, if that is in the same namespace.
        master: index of the bridge or bond that it belongs to.
        is_loopback: whether it is lo.
        passed: packets that it had passed when it got this name, received and sent; None where it had it before
            anybody followed.
    """

    name: str
    kind: str = ""
    lower: int | None = None
    master: int | None = None
    is_loopback: bool = False
    passed: int | None = None


Links = Mapping[int, Link]


@dataclass(frozen=True, slots=True)
class _News:
    """One message of the kernel; ``is_torn``: something changed while it listed all."""

    kind: int
    is_torn: bool
    index: int = 0
    link: Link | None = None
    errno: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceChoice:
    """Which interfaces are counted, by patterns, see :func:`netledger.sources.interfaces.fits`.

    Attributes:
        only: none of the others. Empty: all but loopback.
        excluded: none of these.
        loopback: loopback too.
    """

    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    loopback: bool = False

    def takes(self, link: Link) -> bool:
        """Whether an interface is counted."""
        if any(fits(one, link.name) for one in self.excluded):
            return False
        if link.is_loopback and not (self.loopback or link.name in self.only):
            return False
        return not self.only or any(fits(one, link.name) for one in self.only)


@final
class Follower:
    """Tells of every change. Inert until :meth:`open`; may be closed from any thread, and before it was opened.

    Args:
        told: called with all interfaces that are there, and the names of those that are and were, by index; first by
            :meth:`open` itself, then by a thread of its own.
    """

    def __init__(self, told: Callable[[Links, Mapping[int, str]], None]) -> None:
        self._told = told
        self._links: dict[int, Link] = {}
        self._gone: dict[int, str] = {}
        self._before: Links | None = None  # while all are asked for: those that were known until then
        self._exits = ExitStack()
        self._thread: threading.Thread | None = None
        self._error: OSError | NetledgerError | None = None
        self._wake = -1

    def open(self) -> None:
        """Asks for all interfaces of the calling thread's network namespace, and follows them from then on.

        Raises:
            SourceError: the kernel does not tell.
        """
        with ExitStack() as exits:
            try:
                line = exits.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
                line.bind((0, _RTMGRP_LINK))
                self._ask(line)
            except OSError as error:
                raise SourceError("interfaces", "list", (error.strerror or str(error)).lower()) from error
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            exits.callback(os.close, self._wake)
            self._tell()
            self._thread = threading.Thread(target=self._follow, args=(line,), name="interfaces", daemon=True)
            self._thread.start()
            self._exits = exits.pop_all()

    def close(self) -> None:
        """Ends the thread. May be called twice."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        self._exits.close()

    def check(self) -> None:
        """Whether it still follows.

        Raises:
            SourceError: it does not.
        """
        if self._error is None and self._thread is not None and not self._thread.is_alive():
            # By an exception that nobody foresaw: Python has printed it where the log is.
            raise SourceError("interfaces", "follow", "its thread has ended, for the reason above")
        match self._error:
            case OSError() as error:
                raise SourceError("interfaces", "follow", (error.strerror or str(error)).lower()) from error
            case NetledgerError() as error:
                raise SourceError("interfaces", "follow", str(error), error.hint) from error
            case None:
                return

    def _follow(self, line: socket.socket) -> None:
        try:
            with selectors.DefaultSelector() as either, selectors.DefaultSelector() as end:
                for selector in (either, end):
                    selector.register(self._wake, selectors.EVENT_READ)
                either.register(line, selectors.EVENT_READ)
                while self._wake not in {key.fd for key, _ in either.select()}:
                    self._read_all(line)
                    self._tell()
                    if end.select(_GATHER_SECONDS):
                        return
        except (OSError, NetledgerError) as error:
            self._error = error

    def _read_all(self, line: socket.socket) -> None:
        """All news that are there."""
        while True:
            try:
                news = line.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._ask(line)  # there were too many
                return
            for one in _told_by(news):
                self._heed(one)

    def _ask(self, line: socket.socket) -> None:
        """Asks for all there are, and waits until all are told."""
        before, self._links = self._links, {}
        self._before = before
        line.settimeout(_ASKED_SECONDS)
        line.send(struct.pack("=IHHII", 32, _RTM_GETLINK, _NLM_F_REQUEST_DUMP, 1, 0) + bytes(16))
        is_done, is_torn = False, False
        while not is_done:
            try:
                news = line.recv(_DATAGRAM_BYTES)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                is_torn = True
                continue
            for one in _told_by(news):
                is_torn |= one.is_torn
                is_done |= one.kind == _NLMSG_DONE
                if one.kind == _NLMSG_ERROR:
                    raise OSError(one.errno, os.strerror(one.errno))
                self._heed(one)
        line.setblocking(False)  # noqa: FBT003  (the standard library's)
        for index in before.keys() - self._links.keys():
            self._note_gone(index, before[index].name)
        self._before = None
        if is_torn:
            self._ask(line)

    def _heed(self, news: _News) -> None:
        if news.link is None:
            return
        if news.kind == _RTM_NEWLINK:
            self._links[news.index] = self._since_named(news.index, news.link)
            self._gone.pop(news.index, None)
        else:
            self._links.pop(news.index, None)
            self._note_gone(news.index, news.link.name)

    def _since_named(self, index: int, link: Link) -> Link:
        """The interface with what it had passed when it got its name, which only the first news of that name tell."""
        known = self._links.get(index) or (None if self._before is None else self._before.get(index))
        if known is not None and known.name == link.name:
            return replace(link, passed=known.passed)
        return link if self._before is None else replace(link, passed=None)

    def _note_gone(self, index: int, name: str) -> None:
        self._gone[index] = name
        while len(self._gone) > GONE_MAX:
            del self._gone[next(iter(self._gone))]

    def _tell(self) -> None:
        names = {index: link.name for index, link in self._links.items()}
        self._told(dict(self._links), self._gone | names)


def _passed(statistics: Mapping[str, int] | None) -> int | None:
    return None if statistics is None else statistics["rx_packets"] + statistics["tx_packets"]


def _told_by(datagram: bytes) -> Iterator[_News]:
    """What the kernel says in it."""
    from pyroute2.netlink.rtnl.marshal import MarshalRtnl

    for message in MarshalRtnl().parse(datagram):
        header = message["header"]
        kind, is_torn = header["type"], bool(header["flags"] & _NLM_F_DUMP_INTR and header["sequence_number"])
        if kind == _NLMSG_ERROR:
            yield _News(kind, is_torn, errno=abs(message["error"]))
        elif kind in {_RTM_NEWLINK, _RTM_DELLINK} and message["family"] == socket.AF_UNSPEC:
            info = message.get_attr("IFLA_LINKINFO")
            is_elsewhere = message.get_attr("IFLA_LINK_NETNSID") is not None
            link = Link(
                name=message.get_attr("IFLA_IFNAME") or "",
                kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
                lower=None if is_elsewhere else message.get_attr("IFLA_LINK"),
                master=message.get_attr("IFLA_MASTER"),
                is_loopback=message["ifi_type"] == _LOOPBACK,
                passed=_passed(message.get_attr("IFLA_STATS64")),
            )
            yield _News(kind, is_torn, index=message["index"], link=link)
        else:
            # A bridge tells of its ports in a family of its own: to leave a bridge is not to be gone.
            yield _News(kind, is_torn)
