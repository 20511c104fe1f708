"""Accounting requests as an access server sends them, written without the library that reads them."""

import hashlib
import hmac
import ipaddress
import struct

SECRET = b"testing123"
START, STOP, INTERIM, ON, OFF = 1, 2, 3, 7, 8

NUMBERS = {
    "user": 1,
    "nas_address": 4,
    "port": 5,
    "address": 8,
    "calling": 31,
    "nas": 32,
    "status": 40,
    "delay": 41,
    "input": 42,
    "output": 43,
    "session": 44,
    "seconds": 46,
    "input_packets": 47,
    "output_packets": 48,
    "cause": 49,
    "multi": 50,
    "input_gigawords": 52,
    "output_gigawords": 53,
    "event": 55,
    "port_id": 87,
    "nas_six": 95,
    "framed_prefix": 97,
    "delegated": 123,
    "six": 168,
}


def attribute(name: str, value: object) -> tuple[int, bytes]:
    """One attribute by its short name, its value written as the RFCs say."""
    number = NUMBERS[name]
    if name in {"framed_prefix", "delegated"}:
        network = ipaddress.IPv6Network(str(value))
        size = -(-network.prefixlen // 8)
        return number, bytes((0, network.prefixlen)) + network.network_address.packed[:size]
    if name in {"address", "nas_address", "six", "nas_six"}:
        return number, ipaddress.ip_address(str(value)).packed
    if isinstance(value, int):
        return number, value.to_bytes(4, "big")
    return number, value if isinstance(value, bytes) else str(value).encode()


def attributes(**named: object) -> dict[int, list[bytes]]:
    """The same as a packet's attributes come out of it; a list is several of one kind."""
    found: dict[int, list[bytes]] = {}
    for name, value in named.items():
        for one in value if isinstance(value, list) else [value]:
            number, octets = attribute(name, one)
            found.setdefault(number, []).append(octets)
    return found


def encode(pairs: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("!BB", number, len(value) + 2) + value for number, value in pairs)


def request(body: bytes, *, number: int = 1, secret: bytes = SECRET, code: int = 4) -> bytes:
    """An accounting request around encoded attributes, signed (RFC 2866, 3)."""
    head = struct.pack("!BBH", code, number, 20 + len(body))
    return head + hashlib.md5(head + bytes(16) + body + secret, usedforsecurity=False).digest() + body


def accounting(*, number: int = 1, secret: bytes = SECRET, signed: bool = False, **named: object) -> bytes:
    """An accounting request of named attributes; ``signed`` adds a Message-Authenticator (RFC 2869, 5.14)."""
    body = encode([(key, value) for key, values in attributes(**named).items() for value in values])
    if signed:
        head = struct.pack("!BBH", 4, number, 20 + len(body) + 18)
        blank = head + bytes(16) + body + encode([(80, bytes(16))])
        body += encode([(80, hmac.new(secret, blank, "md5").digest())])
    return request(body, number=number, secret=secret)


def is_answer(answer: bytes, to: bytes, *, secret: bytes = SECRET) -> bool:
    """Whether this is the Accounting-Response to a request, with the right authenticator (RFC 2866, 3)."""
    code, number, length = struct.unpack_from("!BBH", answer)
    digest = hashlib.md5(answer[:4] + to[4:20] + answer[20:] + secret, usedforsecurity=False).digest()
    return (code, number, length) == (5, to[1], len(answer)) and digest == answer[4:20]
