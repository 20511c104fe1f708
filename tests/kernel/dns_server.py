"""A DNS server for reverse names on 127.0.0.1, and a command that asks it: ``dns_server.py COMMAND…``.

To be run in a network namespace of its own. It knows one name, one hostile name and one that is not there, and leaves
one question without an answer.
"""

import socket
import subprocess
import sys
import threading

NAMES = {
    b"1.0.0.10.in-addr.arpa": [b"printer", b"example"],
    b"2.0.0.10.in-addr.arpa": [b"\x1b[2J\x1b]0;owned\x07", b"example"],
    b"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": [b"six", b"example"],
}
SILENT = b"4.0.0.10.in-addr.arpa"
_PTR, _NXDOMAIN = 12, 3


def answer(question: bytes) -> bytes | None:
    """The answer to a query; None where there is to be none."""
    labels, place = [], 12
    while size := question[place]:
        labels.append(question[place + 1 : place + 1 + size])
        place += 1 + size
    asked = question[12 : place + 5]
    name = b".".join(labels)
    if name == SILENT:
        return None
    found = NAMES.get(name)
    flags = 0x8180 | (0 if found else _NXDOMAIN)
    head = question[:2] + b"".join(number.to_bytes(2) for number in (flags, 1, int(found is not None), 0, 0))
    if found is None:
        return head + asked
    data = b"".join(bytes([len(label)]) + label for label in found) + b"\0"
    record = b"\xc0\x0c" + _PTR.to_bytes(2) + (1).to_bytes(2) + (60).to_bytes(4) + len(data).to_bytes(2) + data
    return head + asked + record


def serve(server: socket.socket) -> None:
    """Answers until the process ends."""
    while True:
        question, sender = server.recvfrom(4096)
        if (told := answer(question)) is not None:
            server.sendto(told, sender)


def main() -> int:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return subprocess.run(sys.argv[1:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
