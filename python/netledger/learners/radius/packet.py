"""One datagram: is it a request, does its sender know the secret, and the answer to it.

The packet itself is read by pyrad. What is checked here first keeps a stranger from making it work for nothing: the
authenticator is a hash of the whole packet and the secret, and is compared before any attribute is looked at.
"""

import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, final

from netledger.learners.radius.request import Attributes

PACKET_BYTES_MAX: Final = 4096
"""RFC 2865, 3: longer ones are no RADIUS."""

_HEADER_BYTES: Final = 20
_ATTRIBUTE_HEADER_BYTES: Final = 2
_ACCOUNTING_REQUEST: Final = 4
_STATUS_SERVER: Final = 12
_MESSAGE_AUTHENTICATOR: Final = 80
# Status-Server can only be checked when it has been read (its authenticator is random), so it has to be small.
_STATUS_SERVER_BYTES_MAX: Final = 512


class Verdict(Enum):
    """Why a datagram gets no answer."""

    MALFORMED = auto()
    BAD_AUTHENTICATOR = auto()
    NOT_ACCOUNTING = auto()


@final
@dataclass(frozen=True, slots=True)
class Datagram:
    """A request whose sender knows the secret.

    Attributes:
        identity: the same for a packet that is sent again as it was.
        attributes: raw values by number; None for Status-Server, which only asks whether anybody is there.
        answer: what to send back when the request has been kept.
    """

    identity: bytes
    attributes: Attributes | None
    answer: bytes


def check(data: bytes) -> Verdict | None:
    """Whether this has the shape of a request: total over any bytes, and cheap."""
    if len(data) < _HEADER_BYTES:
        return Verdict.MALFORMED
    code, _, length = struct.unpack_from("!BBH", data)
    if not _HEADER_BYTES <= length <= min(len(data), PACKET_BYTES_MAX):
        return Verdict.MALFORMED
    if code not in {_ACCOUNTING_REQUEST, _STATUS_SERVER}:
        return Verdict.NOT_ACCOUNTING
    if code == _STATUS_SERVER and length > _STATUS_SERVER_BYTES_MAX:
        return Verdict.MALFORMED
    # pyrad takes a last attribute that is cut short for what is left of it.
    offset = _HEADER_BYTES
    while offset + _ATTRIBUTE_HEADER_BYTES <= length and data[offset + 1] >= _ATTRIBUTE_HEADER_BYTES:
        offset += data[offset + 1]
    return None if offset == length else Verdict.MALFORMED


def read(data: bytes, secret: bytes) -> Datagram | Verdict:
    """The request in a datagram, or why there is none. Never raises for what came from the network."""
    from pyrad.packet import AcctPacket, PacketError  # noqa: PLC0415  # most commands do without

    if (verdict := check(data)) is not None:
        return verdict
    data = data[: struct.unpack_from("!H", data, 2)[0]]  # what is behind it is padding
    packet = AcctPacket(code=data[0], id=data[1], secret=secret, authenticator=data[4:_HEADER_BYTES])
    packet.raw_packet = data
    if data[0] == _ACCOUNTING_REQUEST and not packet.VerifyAcctRequest():
        return Verdict.BAD_AUTHENTICATOR
    try:
        packet.DecodePacket(data)
    except PacketError:
        return Verdict.MALFORMED
    signatures = packet.get(_MESSAGE_AUTHENTICATOR, [])
    if signatures and (len(signatures) > 1 or not packet.verify_message_authenticator()):
        return Verdict.BAD_AUTHENTICATOR
    is_question = data[0] == _STATUS_SERVER
    if is_question and not signatures:
        return Verdict.BAD_AUTHENTICATOR
    attributes = None if is_question else dict(packet.items())
    return Datagram(data[:_HEADER_BYTES], attributes, packet.CreateReply().ReplyPacket())
