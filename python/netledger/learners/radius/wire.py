"""The socket of the listener: requests with the moment of their arrival in, answers out where the requests came in."""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, final

from netledger.durable import cause_of
from netledger.errors import LearnerError
from netledger.learners.radius.packet import PACKET_BYTES_MAX

# What may wait while a transaction is under way, or while intervals are cut for a hand-over: seconds of requests.
_BUFFER_BYTES: Final = 16 << 20

# Of the kernel's headers; Python does not name them.
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_IP_PKTINFO: Final = 8
_ANCILLARY_BYTES: Final = 256
_TIMESPEC: Final = struct.Struct("@qq")
_IN_PKTINFO: Final = struct.Struct("@I4s4s")
_IN6_PKTINFO: Final = struct.Struct("@16sI")
_SECOND_NS: Final = 1_000_000_000

_Ancillary = tuple[int, int, bytes]


@final
@dataclass(frozen=True, slots=True)
class Letter:
    """A datagram that came.

    Attributes:
        data: its bytes; one that is longer than RADIUS allows is cut one byte behind that.
        address: its sender's address; an IPv4 address is always written as one.
        port: its sender's port.
        received_ns: when the kernel got it, UTC nanoseconds; 0 where the kernel does not say.
        back: how to reach its sender, for :meth:`Wire.send`.
    """

    data: bytes
    address: str
    port: int
    received_ns: int
    back: tuple[object, tuple[_Ancillary, ...]]


@final
class Wire:
    """A UDP socket at one address. As a context manager it is closed at the end.

    Args:
        address: where to listen; ``::`` is every address of this machine, IPv4 included.
        port: the same; 0 is one that is free.

    Raises:
        LearnerError: the address is not there, or in use.
    """

    def __init__(self, address: str, port: int) -> None:
        is_six = ":" in address
        where = f"radius [{address}]:{port}" if is_six else f"radius {address}:{port}"
        try:
            self._socket = socket.socket(socket.AF_INET6 if is_six else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            # So says seccomp, too, where the unit of systemd allows no such sockets.
            hint = "a service may need RestrictAddressFamilies=AF_INET AF_INET6 and IPAddressAllow="
            raise LearnerError(where, "listen", cause_of(error), hint) from error
        try:
            self._socket.settimeout(0)
            self._enlarge()
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if is_six:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise LearnerError(where, "listen", cause_of(error)) from error
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        """The open socket."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self._socket.close()

    def fileno(self) -> int:
        """Becomes readable when something has come."""
        return self._socket.fileno()

    def receive(self, letters_max: int) -> list[Letter]:
        """What has come, ``letters_max`` at most. Does not block.

        Raises:
            LearnerError: the socket is broken.
        """
        letters: list[Letter] = []
        while len(letters) < letters_max:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(PACKET_BYTES_MAX + 1, _ANCILLARY_BYTES)
            except BlockingIOError:
                break
            except ConnectionError:
                continue  # an answer of before was refused where it went
            except OSError as error:
                raise LearnerError("radius", "receive", cause_of(error)) from error
            letters.append(_letter(data, ancillary, sender))
        return letters

    def send(self, answers: Iterable[tuple[Letter, bytes]]) -> int:
        """Sends answers, each from the address that its request was sent to. Does not block.

        Gives how many could not be sent: their requests will come again.
        """
        failed = 0
        for letter, answer in answers:
            sender, ancillary = letter.back
            try:
                self._socket.sendmsg([answer], ancillary, 0, sender)  # type: ignore[arg-type]  # as recvmsg gave it
            except OSError:
                failed += 1
        return failed

    def _enlarge(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)


def _letter(data: bytes, ancillary: Iterable[_Ancillary], sender: tuple[str, int]) -> Letter:
    received_ns = 0
    back: tuple[_Ancillary, ...] = ()
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            received_ns = seconds * _SECOND_NS + nanoseconds
        elif (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(value) == _IN_PKTINFO.size:
            # Which interface it leaves by is the routes' business; only the address is kept.
            local = _IN_PKTINFO.unpack(value)[1]
            back = ((level, kind, _IN_PKTINFO.pack(0, local, bytes(4))),)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(value) == _IN6_PKTINFO.size:
            address, index = _IN6_PKTINFO.unpack(value)
            is_local = ipaddress.IPv6Address(address).is_link_local
            back = ((level, kind, _IN6_PKTINFO.pack(address, index if is_local else 0)),)
    return Letter(data, _plain(sender[0]), sender[1], received_ns, (sender, back))


def _plain(address: str) -> str:
    """An IPv4 address that came through a socket of both versions, as an IPv4 address."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address
