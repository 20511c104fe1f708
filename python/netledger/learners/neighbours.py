"""The neighbour tables of the kernel: which device has which addresses, of both versions of IP."""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

from netledger.attribution.facts import Target
from netledger.attribution.learning import Recorder
from netledger.durable import cause_of
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS, Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.claims import Claims, Holder, Nobody
from netledger.learners.names import refuse

ADDRESSES_MAX: Final = 65_536
"""Addresses that are followed at one time."""

_RTMGRP_NEIGH: Final = 4
_RTM_NEWNEIGH: Final = 28
_RTM_GETNEIGH: Final = 30
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST_DUMP: Final = 0x301
_NTF_PROXY: Final = 0x08
# REACHABLE, STALE, DELAY, PROBE and PERMANENT: the kernel believes that the device has the address.
_BELIEVED: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
_PERMANENT: Final = 0x80
_MAC_LENGTH: Final = len("aa:bb:cc:dd:ee:ff")
_NO_MAC: Final = "00:00:00:00:00:00"
_DATAGRAM_BYTES: Final = 1 << 16
_BUFFER_BYTES: Final = 4 << 20
_ANSWER_SECONDS: Final = 5.0
_LISTS_MAX: Final = 5
# What changes within this time is learnt once, as it is at its end: two devices that fight for an address are two facts
# a second, not thousands.
_GATHER_SECONDS: Final = 1.0
_LIST_SECONDS: Final = 60.0


class _Message(Protocol):
    """What is used of pyroute2's messages: fields by name, attributes by theirs."""

    def __getitem__(self, name: str) -> int: ...

    def get_attr(self, name: str) -> str | dict[str, int] | None: ...


@final
@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry that the kernel believes.

    Attributes:
        target: the address.
        mac: the device that has it.
        interface: where.
        silent_ticks: how long ago the kernel last had reason to believe it, in clock ticks.
    """

    target: Target
    mac: str
    interface: str
    silent_ticks: int


@final
class NeighbourLearner:
    """Follows the neighbour tables of the network namespace that it runs in.

    Args:
        name: of the ``[attribution.NAME]``.
        interfaces: patterns of their names, a ``*`` at the end is any rest; empty is all but lo.
        forget_after_seconds: how long a device keeps an address of which nothing is seen.
        clock: where the time comes from.
    """

    def __init__(self, name: str, *, interfaces: Sequence[str], forget_after_seconds: int, clock: Clock) -> None:
        self._name = name
        self._interfaces = tuple(interfaces)
        self._forget_after_ns = forget_after_seconds * SECOND_NS
        self._clock = clock
        self._standing = Standing(clock)
        self._seen_ns: dict[Target, int] = {}
        self._tick_ns = SECOND_NS // os.sysconf("SC_CLK_TCK")

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Follows the tables until it is told to stop.

        Raises:
            LearnerError: the kernel does not tell.
            LedgerError: the ledger refuses.
        """
        self._standing.starts()
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
                line.bind((0, _RTMGRP_NEIGH))
                self._follow(line, Claims(self._name, record, self._standing), stop)
        except OSError as error:
            raise LearnerError("neighbours", "follow", cause_of(error)) from error

    def _follow(self, line: socket.socket, claims: Claims, stop: Stop) -> None:
        # Those of before have been there until now, as far as anybody knows.
        now_ns = self._clock.now().wall_ns
        self._seen_ns = dict.fromkeys(claims.targets(), now_ns)
        listed_ns = 0
        is_lost = True
        while True:
            now = self._clock.now()
            told: list[Neighbour] = []
            if is_lost or now.monotonic_ns - listed_ns >= int(_LIST_SECONDS * SECOND_NS):
                told += self._list(line)
                listed_ns = now.monotonic_ns
            news, is_lost = self._news(line)
            self._settle(claims, told + news)
            self._standing.follows()
            if is_lost:
                continue
            # Woken by the first, and then a moment is left for the others.
            if stop.wait(_LIST_SECONDS, line.fileno()) or stop.wait(_GATHER_SECONDS):
                return

    def _settle(self, claims: Claims, told: Sequence[Neighbour]) -> None:
        now_ns = self._clock.now().wall_ns
        holders: dict[Target, Holder | Nobody] = {}
        for one in told:
            if one.target not in self._seen_ns and len(self._seen_ns) >= ADDRESSES_MAX:
                refuse(self._name, self._standing, str(one.target), "there are too many addresses")
                continue
            seen_ns = now_ns - one.silent_ticks * self._tick_ns
            self._seen_ns[one.target] = max(seen_ns, self._seen_ns.get(one.target, 0))
            if seen_ns >= now_ns - self._forget_after_ns:
                holders[one.target] = Holder(subject=one.mac, mac=one.mac, detail={"interface": one.interface})
        forgotten = [one for one, seen_ns in self._seen_ns.items() if seen_ns < now_ns - self._forget_after_ns]
        for target in forgotten:
            del self._seen_ns[target]
            holders[target] = Nobody()
        claims.settle(holders)

    def _news(self, line: socket.socket) -> tuple[list[Neighbour], bool]:
        """What the kernel has told meanwhile, and whether some of it was lost."""
        told: list[Neighbour] = []
        line.settimeout(0)
        while True:
            try:
                datagram = line.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return told, False
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return told, True
            told += [one for kind, one in self._read(datagram) if kind == _RTM_NEWNEIGH and one is not None]

    def _list(self, line: socket.socket) -> list[Neighbour]:
        """All entries there are. Asked again when the kernel had to leave some out."""
        for _ in range(_LISTS_MAX):
            try:
                return self._list_once(line)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        raise LearnerError("neighbours", "list", "they change faster than they can be listed")

    def _list_once(self, line: socket.socket) -> list[Neighbour]:
        told: list[Neighbour] = []
        line.settimeout(_ANSWER_SECONDS)
        # struct nlmsghdr, then struct ndmsg: of all families and interfaces.
        line.send(struct.pack("=IHHII", 28, _RTM_GETNEIGH, _NLM_F_REQUEST_DUMP, 1, 0) + bytes(12))
        while True:
            for kind, one in self._read(line.recv(_DATAGRAM_BYTES)):
                if kind == _NLMSG_DONE:
                    return told
                if one is not None:
                    told.append(one)

    def _read(self, datagram: bytes) -> list[tuple[int, Neighbour | None]]:
        from pyroute2.netlink.rtnl.marshal import MarshalRtnl  # a fifth of a second, and most commands do without

        told: list[tuple[int, Neighbour | None]] = []
        for message in MarshalRtnl().parse(datagram):
            kind = int(message["header"]["type"])
            if kind == _NLMSG_ERROR and message["error"]:
                raise OSError(abs(int(message["error"])), os.strerror(abs(int(message["error"]))))
            told.append((kind, self._neighbour(message) if kind == _RTM_NEWNEIGH else None))
        return told

    def _neighbour(self, message: _Message) -> Neighbour | None:
        is_ip = message["family"] in {socket.AF_INET, socket.AF_INET6}
        if not is_ip or message["flags"] & _NTF_PROXY or not message["state"] & _BELIEVED:
            return None
        address, mac = message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR")
        interface = _name_of(int(message["ifindex"]))
        if not address or not mac or interface is None or not self._takes(interface):
            return None
        where = ipaddress.ip_address(str(address))
        # fe80:: is another one on every interface, and multicast and the like are nobody's.
        is_local = isinstance(where, ipaddress.IPv6Address) and where.is_link_local
        if is_local or where.is_multicast or where.is_unspecified:
            return None
        if len(str(mac)) != _MAC_LENGTH or mac == _NO_MAC:
            return None
        ages = message.get_attr("NDA_CACHEINFO")
        # What somebody has configured is there for as long as it stands there.
        is_aging = isinstance(ages, dict) and not message["state"] & _PERMANENT
        silent = min(ages["ndm_confirmed"], ages["ndm_updated"]) if isinstance(ages, dict) and is_aging else 0
        return Neighbour(Target.address(str(where)), Target.mac(str(mac)).value, interface, silent)

    def _takes(self, interface: str) -> bool:
        if not self._interfaces:
            return interface != "lo"
        return any(
            interface.startswith(pattern[:-1]) if pattern.endswith("*") else interface == pattern
            for pattern in self._interfaces
        )


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None  # it is gone, and its neighbours with it
