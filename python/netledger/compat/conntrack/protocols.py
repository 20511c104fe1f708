"""The transport protocols that have options of their own, and what those are called."""

import socket
import sys
from dataclasses import dataclass
from typing import Final, Literal, final

from netledger.compat.conntrack.getopt import Argument, LongOption
from netledger.compat.conntrack.refusal import bad_parameter

__all__ = [
    "DCCP_STATES",
    "PROTOCOLS",
    "SCTP_STATES",
    "TCP_STATES",
    "Protocol",
    "ProtocolOption",
    "find_protocol",
    "name_of",
    "parse_role",
    "parse_state",
    "states_of",
    "written_tag",
]

Kind = Literal["port", "key", "byte", "id", "state", "role", "tag"]
Use = Literal["original", "reply", "detail", "needed", "tag", "expectation"]
"""What an option is for: one of a pair of ports, a detail, an address's part that asking for one flow needs, a
verification tag, or only for expectations."""

_NUMBER_MAX = 255

TCP_STATES: Final = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
    "SYN_SENT2",
)  # fmt: skip
SCTP_STATES: Final = (
    "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
)  # fmt: skip
DCCP_STATES: Final = (
    "NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID",
)  # fmt: skip
_ROLES: Final = ("client", "server")


@final
@dataclass(frozen=True, slots=True)
class ProtocolOption:
    """One option: the name that messages use, other names, what it holds and what it is for."""

    name: str
    kind: Kind
    use: Use
    also: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol: its name here, its number, its options in the order in which they are checked, its help."""

    name: str
    number: int
    options: tuple[ProtocolOption, ...] = ()
    help_text: str = "  no options (unsupported)\n"
    states: tuple[str, ...] = ()
    pairs: tuple[str, str] = ("", "")
    """What is asked for when only one of two ports is given, by direction."""

    def long_options(self) -> list[LongOption]:
        """Its options as the command line has them. The key is the name that messages use."""
        return [
            LongOption(name, Argument.REQUIRED, option.name)
            for option in self.options
            for name in (option.name, *option.also)
        ]

    def option(self, name: str) -> ProtocolOption | None:
        """The option of that name, if it has one."""
        return next((option for option in self.options if option.name == name), None)


def _port_options(*last: ProtocolOption, state: bool) -> tuple[ProtocolOption, ...]:
    pair: list[ProtocolOption] = [
        ProtocolOption("sport", "port", "original", ("orig-port-src",)),
        ProtocolOption("dport", "port", "original", ("orig-port-dst",)),
        ProtocolOption("reply-port-src", "port", "reply"),
        ProtocolOption("reply-port-dst", "port", "reply"),
        ProtocolOption("mask-port-src", "port", "expectation"),
        ProtocolOption("mask-port-dst", "port", "expectation"),
    ]
    if state:
        pair.append(ProtocolOption("state", "state", "detail"))
    pair += [
        ProtocolOption("tuple-port-src", "port", "expectation"),
        ProtocolOption("tuple-port-dst", "port", "expectation"),
    ]
    return (*pair, *last)


# The last line of each is wrong about its name in the old program too.
_PORT_HELP = """\
  --orig-port-src\t\toriginal source port
  --orig-port-dst\t\toriginal destination port
  --reply-port-src\t\treply source port
  --reply-port-dst\t\treply destination port
  --mask-port-src\t\tmask source port
  --mask-port-dst\t\tmask destination port
  --tuple-port-src\t\texpectation tuple src port
  --tuple-port-src\t\texpectation tuple dst port
"""
_TAG_HELP = "  --orig-vtag\t\toriginal verification tag\n  --reply-vtag\t\treply verification tag\n"
_KEY_HELP = """\
  --orig-key-src\t\toriginal source key
  --orig-key-dst\t\toriginal destination key
  --reply-key-src\t\treply source key
  --reply-key-dst\t\treply destination key
  --mask-key-src\t\tmask source key
  --mask-key-dst\t\tmask destination key
  --tuple-key-src\t\texpectation tuple src key
  --tuple-key-src\t\texpectation tuple dst key
"""
_PORT_PAIRS = ("`--sport' and `--dport'", "`--reply-src-port' and `--reply-dst-port'")


def _state_help(protocol: str, example: str) -> str:
    return f"  --state\t\t\t{protocol} state, fe. {example}\n"


def _icmp(name: str, number: int) -> Protocol:
    options = (
        ProtocolOption(f"{name}-type", "byte", "needed"),
        ProtocolOption(f"{name}-code", "byte", "needed"),
        ProtocolOption(f"{name}-id", "id", "detail"),
    )
    text = "".join(f"  --{name}-{part}\t\t\t{name} {part}\n" for part in ("type", "code", "id"))
    return Protocol(name, number, options, text)


PROTOCOLS: Final = (
    Protocol(
        "tcp", 6, _port_options(state=True), _PORT_HELP + _state_help("TCP", "ESTABLISHED"), TCP_STATES, _PORT_PAIRS
    ),
    Protocol("udp", 17, _port_options(state=False), _PORT_HELP, (), _PORT_PAIRS),
    Protocol("udplite", 136, _port_options(state=False), _PORT_HELP, (), _PORT_PAIRS),
    Protocol(
        "sctp",
        132,
        _port_options(
            ProtocolOption("orig-vtag", "tag", "tag"), ProtocolOption("reply-vtag", "tag", "tag"), state=True
        ),
        _PORT_HELP + _state_help("SCTP", "ESTABLISHED") + _TAG_HELP,
        SCTP_STATES,
        _PORT_PAIRS,
    ),
    Protocol(
        "dccp",
        33,
        _port_options(ProtocolOption("role", "role", "expectation"), state=True),
        _PORT_HELP + _state_help("DCCP", "RESPOND"),
        DCCP_STATES,
        ("`--sport' and `--dport'", "`--reply-port-src' and `--report-port-dst'"),
    ),
    _icmp("icmp", 1),
    _icmp("icmpv6", 58),
    Protocol(
        "gre",
        47,
        (
            ProtocolOption("srckey", "key", "original", ("orig-key-src",)),
            ProtocolOption("dstkey", "key", "original", ("orig-key-dst",)),
            ProtocolOption("reply-key-src", "key", "reply"),
            ProtocolOption("reply-key-dst", "key", "reply"),
            ProtocolOption("mask-key-src", "key", "expectation"),
            ProtocolOption("mask-key-dst", "key", "expectation"),
            ProtocolOption("tuple-key-src", "key", "expectation"),
            ProtocolOption("tuple-key-dst", "key", "expectation"),
        ),
        _KEY_HELP,
        (),
        ("`--srckey' and `--dstkey'", "`--reply-src-key' and `--reply-dst-key'"),
    ),
)
_BY_NUMBER: Final = {protocol.number: protocol for protocol in PROTOCOLS}
_NAMES: Final = {protocol.number: protocol.name for protocol in PROTOCOLS}


def name_of(number: int) -> str:
    """The name that a listing has for a protocol: only those with options have one."""
    return _NAMES.get(number, "unknown")


def states_of(number: int) -> tuple[str, ...]:
    """The states that a protocol has, by their numbers."""
    protocol = _BY_NUMBER.get(number)
    return () if protocol is None else protocol.states


def written_tag(tag: int) -> int:
    """A verification tag of SCTP as it is written and read here: in the byte order of the machine, not of the network.

    The old program turns it round once too often, in both directions; what it saves it can load.
    """
    return int.from_bytes(tag.to_bytes(4, "big"), sys.byteorder)


def find_protocol(text: str) -> Protocol:
    """A protocol by the name here, a name of /etc/protocols, or its number.

    Raises:
        Refusal: there is none.
    """
    for protocol in PROTOCOLS:
        if protocol.name == text.lower():
            return protocol
    number = _number(text)
    if number is None:
        raise bad_parameter(f"`{text}' unsupported protocol")
    return _BY_NUMBER.get(number) or Protocol(_system_name(number), number)


def _number(text: str) -> int | None:
    try:
        return socket.getprotobyname(text)
    except (OSError, ValueError):
        pass
    try:
        number = int(text, 8 if text.startswith("0") and text.isdigit() else 0)
    except ValueError:
        return None
    return number if text.isascii() and text.isalnum() and number <= _NUMBER_MAX else None


def _system_name(number: int) -> str:
    # getprotobynumber is not in Python; the help of a protocol without options is all that asks for it.
    try:
        with open("/etc/protocols", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - read line by line
            for line in file:
                words = line.partition("#")[0].split()
                if len(words) > 1 and words[1] == str(number):
                    return words[0]
    except OSError:
        pass
    return "unknown"


def parse_state(text: str, protocol: Protocol) -> str:
    """A state of the protocol.

    Raises:
        Refusal: it has no such state.
    """
    # Kernels before 2.6.31 had this name for the number.
    if protocol.states is TCP_STATES and text == "LISTEN":
        return "SYN_SENT2"
    if text not in protocol.states:
        unknown = "Unknown" if protocol.states is DCCP_STATES else "unknown"
        raise bad_parameter(f"{unknown} {protocol.name.upper()} state `{text}'")
    return text


def parse_role(text: str) -> str:
    """A role of DCCP; it may be cut.

    Raises:
        Refusal: neither client nor server.
    """
    found = next((role for role in _ROLES if role.startswith(text.lower())), None)
    if found is None:
        raise bad_parameter(f"Unknown DCCP role `{text}'")
    return found
