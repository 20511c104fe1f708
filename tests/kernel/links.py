"""Links of all kinds, raw frames put on them, and packet sockets that take them off."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict

from netledger.sources.packet_program import Instruction
from tests.kernel.lab import Network, wait_for
from tests.kernel.settling import settle

ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
TUNSETIFF = 0x4004_54CA
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
SOCKET_SECONDS = 60.0


class Form(TypedDict, total=False):
    """What stands before the packet, for ``tests.unit.packets.ethernet``."""

    tags: list[tuple[int, int]]
    pppoe: bool


FORMS: dict[str, Form] = {
    "plain": {},
    "tagged": {"tags": [(0x8100, 5)]},
    "q in q": {"tags": [(0x88A8, 0x4006), (0x8100, 0x6007)]},
    "pppoe": {"pppoe": True},
    "tagged pppoe": {"tags": [(0x8100, 5)], "pppoe": True},
    "pppoe in q in q": {"tags": [(0x88A8, 6), (0x8100, 7)], "pppoe": True},
}


def put(network: Network, namespace: str, interface: str, frames: Sequence[bytes]) -> None:
    """Sends whole frames, as they are, and waits until they have been received."""
    with network.inside(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
        line.bind((interface, 0))
        for frame in frames:
            send_frame(line, frame)
    settle()


def send_frame(line: socket.socket, frame: bytes) -> None:
    """Sends it once: what the kernel refuses for want of room, on a machine that is busy, has gone nowhere."""

    def is_sent() -> bool:
        try:
            line.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return False
        return True

    wait_for(is_sent, 20, "room for a frame")


@contextmanager
def tun(network: Network, namespace: str, name: str, *, segments: bool = False) -> Iterator[int]:
    """A link without a header, as ppp and WireGuard make one; what is written to the descriptor is received on it.

    With ``segments`` a ``struct virtio_net_hdr`` stands before each packet, as a virtual machine writes it.
    """
    with network.inside(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if segments else 0)
    try:
        with network.inside(namespace):
            fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        network.run(namespace, ["ip", "link", "set", name, "up"])
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def listening(
    network: Network, namespace: str, interface: str, program: Sequence[Instruction], *, outgoing: bool = False
) -> Iterator[socket.socket]:
    """A packet socket with a program, on one interface; by default it sees only what is received."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    with network.inside(namespace):
        line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with line:
        if program:
            attached = struct.pack("@HP", len(program), ctypes.addressof(code))
            line.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        if not outgoing:
            line.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        line.settimeout(SOCKET_SECONDS)
        line.bind((interface, ETH_P_ALL))
        yield line
