#!/usr/bin/env python3
"""What a packet costs that a packet socket has seen: this program, others and the least possible, side by side."""

import sys

from captures import Nacctd, NetledgerPackets, PacketFloor, Pmacctd, Softflowd
from compare import measured
from peers import Peer
from rates import PLAIN_FLOOR


def programs() -> list[Peer]:
    """All that can be measured, the floors first because the others are divided by them."""
    ahead = "floor, fetching ahead"
    return [
        PacketFloor(name=PLAIN_FLOOR, floor=PLAIN_FLOOR),
        PacketFloor(name=ahead, floor=ahead, ahead=True),
        NetledgerPackets(name="netledger, packet sockets", floor=ahead),
        Softflowd(name="softflowd", floor=ahead),
        Pmacctd(name="pmacctd, tuned", floor=ahead, tuned=True),
        Pmacctd(name="pmacctd, default", floor=ahead, tuned=False),
        Nacctd(name="nacctd", floor=ahead),
    ]


if __name__ == "__main__":
    sys.exit(measured(lambda _disk: programs(), rates="packet", highest="packet-highest"))
