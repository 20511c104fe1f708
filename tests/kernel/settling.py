"""Waits until what was sent has been received, however busy the machine is.

What a veth or lo hands over lies in a queue of the CPU that sent it until a softirq takes it out, and on a busy machine
that may be long after the sender has ended. Each of these queues is worked off in order: when a datagram that was put
behind all the others has come back, they have been received. What is forwarded, or answered, is queued again, and so
the datagram goes round as often as a packet of these tests may be queued on its way.
"""

import ctypes
import itertools
import os
import select
import socket
import struct
import threading
import time
from functools import cache

from tests.kernel.lab import set_up

HOPS = 4  # to the gateway, to the other side, and back
AGAIN_SECONDS = 0.2
DEADLINE_SECONDS = 90.0
CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()
_one_at_a_time = threading.Lock()


def settle() -> None:
    """Waits until everything that was sent before this call has been received or forwarded, answers included.

    Raises:
        TimeoutError: a CPU works off nothing.
        OSError: this process may not make a network namespace.
    """
    allowed = os.sched_getaffinity(0)
    with _one_at_a_time:
        line = _line()
        try:
            for _ in range(HOPS):
                for cpu in sorted(allowed):
                    os.sched_setaffinity(0, {cpu})
                    _go_round(line, cpu)
        finally:
            os.sched_setaffinity(0, allowed)


def _go_round(line: socket.socket, cpu: int) -> None:
    """Sends a datagram from this CPU, and waits until it is back; where a queue is full it is sent again."""
    wanted = struct.pack("=QQ", os.getpid(), next(_numbers))
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        line.send(wanted)
        while select.select([line], [], [], AGAIN_SECONDS)[0]:
            if line.recv(len(wanted)) == wanted:
                return
    raise TimeoutError(f"CPU {cpu} has worked off nothing for {DEADLINE_SECONDS:g} s")


@cache
def _line() -> socket.socket:
    """A socket that talks to itself, by the loopback of a namespace that nobody else has: no test counts it."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def make() -> None:
        # Of the thread alone, which ends; the socket keeps the namespace.
        if _libc.unshare(CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            failed.append(OSError(number, os.strerror(number), "unshare"))
            return
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        set_up("lo")
        line.bind(("127.0.0.1", 0))
        line.connect(line.getsockname())
        made.append(line)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
