"""Checks of single values, and the types of the model that carry them.

Each says what is wrong in the words of the file's author, with a hint where there is one. Nothing is converted
silently: a string is no number, and a network with host bits set is not the network it lies in.
"""

import ipaddress
import re
from pathlib import PurePosixPath
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from netledger.config import durations
from netledger.config.toml import value_to_toml
from netledger.errors import UsageError
from netledger.reports import zones

NAME_LENGTH_MAX = 16
_NODE_LENGTH_MAX = 64
_INTERFACE_BYTES_MAX = 15
_PORT_MAX = 65_535

_SAID_BY_PEOPLE = frozenset(("assign", "import"))
_NAME = re.compile(r"[a-z0-9_]+")


def refuse(cause: str, hint: str | None = None) -> NoReturn:
    """Refuses the value that is being checked."""
    # The cause is a value, not the template: braces in it are what the author of the file wrote.
    raise PydanticCustomError("refused", "{cause}", {"cause": cause, "hint": hint})


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        refuse(
            f"{value_to_toml(text)} is no name",
            "lower case letters, digits and underscores, for it names chains and directories",
        )
    if len(text) > NAME_LENGTH_MAX:
        refuse(
            f"{len(text)} characters are too many", f"at most {NAME_LENGTH_MAX}, for it names chains and directories"
        )
    return text


def _attribution(text: str) -> str:
    if text in _SAID_BY_PEOPLE:
        refuse(
            f"{value_to_toml(text)} is the source of what `netledger {text}` says",
            "choose another name: a source of that name would end what people have said",
        )
    return _name(text)


def _node(text: str) -> str:
    if not text or not text.isprintable() or text != text.strip():
        refuse("this is no name of a machine", 'as in "gw1"; leave it out to take the host name')
    if len(text) > _NODE_LENGTH_MAX:
        refuse(f"{len(text)} characters are too many", f"at most {_NODE_LENGTH_MAX}")
    return text


def _interface(text: str) -> str:
    size = len(text.encode())
    if not text or text in {".", ".."} or not text.isprintable() or any(mark in text for mark in "/: "):
        refuse(f"{value_to_toml(text)} is no interface name", 'as in "eth1"')
    if size > _INTERFACE_BYTES_MAX:
        refuse(f"{value_to_toml(text)} has {size} bytes", f"interface names have at most {_INTERFACE_BYTES_MAX}")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        refuse(f"{value_to_toml(text)} is no network", 'as in "192.168.0.0/24" or "2001:db8:1::/48"')
    refuse(f"{value_to_toml(text)} has host bits set", f'the network is "{meant}"')


def _duration(value: object) -> int:
    seconds = durations.parse(value) if isinstance(value, str) else None
    if seconds is None:
        refuse(f"{value_to_toml(value)} is no duration", 'as in "90s", "5m", "1h" or "1d"')
    return seconds


def _endpoint(text: str) -> str:
    """As it is written best: an IPv6 address in brackets, without zeros that say nothing."""
    host, colon, port = text.rpartition(":")
    is_six = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if is_six else host)
    except ValueError:
        refuse(f"{value_to_toml(text)} is no address and port", 'as in "127.0.0.1:1813" or "[::1]:1813"')
    if not colon or is_six != (address.version == 6) or not port.isascii() or not port.isdigit():  # noqa: PLR2004  # IPv6
        refuse(f"{value_to_toml(text)} is no address and port", 'as in "127.0.0.1:1813" or "[::1]:1813"')
    if not 1 <= int(port) <= _PORT_MAX:
        refuse(f"{port} is no port", f"from 1 to {_PORT_MAX}")
    return f"[{address}]:{int(port)}" if is_six else f"{address}:{int(port)}"


def _interval(seconds: int) -> int:
    if seconds > durations.INTERVAL_MAX_SECONDS:
        refuse(
            f"{durations.words(seconds)} are too long", f"at most {durations.render(durations.INTERVAL_MAX_SECONDS)}"
        )
    if not durations.divides_days(seconds):
        near = " or ".join(f'"{durations.render(size)}"' for size in durations.neighbours(seconds))
        refuse(f"{durations.words(seconds)} do not divide a day", f"{near} would")
    return seconds


def _days(value: object) -> int:
    seconds = durations.parse(value) if isinstance(value, str) else None
    if seconds is None or seconds % durations.DAY_SECONDS:
        refuse(f"{value_to_toml(value)} is no number of days", 'as in "90d"; leave it out to keep all')
    return seconds // durations.DAY_SECONDS


def _directory(text: str) -> str:
    if not text.startswith("/") or "\0" in text or ".." in PurePosixPath(text).parts:
        refuse(f"{value_to_toml(text)} is no absolute directory", 'as in "/var/lib/netledger"')
    return str(PurePosixPath(text))


def _file(text: str) -> str:
    if not text.startswith("/") or text.endswith("/") or "\0" in text or ".." in PurePosixPath(text).parts:
        refuse(f"{value_to_toml(text)} is no absolute path of a file", 'as in "/etc/netledger/assignments.csv"')
    return str(PurePosixPath(text))


def _namespace(text: str) -> str:
    if not text.startswith("/") or text.endswith("/") or "\0" in text or ".." in PurePosixPath(text).parts:
        refuse(f"{value_to_toml(text)} is no absolute path of a network namespace", 'as in "/run/netns/guests"')
    return str(PurePosixPath(text))


def _timezone(text: str) -> str:
    try:
        return zones.find(text).name
    except UsageError as error:
        refuse(f"{value_to_toml(text)}: {error.cause}", error.hint)


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a list in which something stands twice."""
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        refuse(f"{value_to_toml(twice)} stands twice")
    return values


Timezone = Annotated[str, AfterValidator(_timezone)]
Name = Annotated[str, AfterValidator(_name)]
AttributionName = Annotated[str, AfterValidator(_attribution)]
Node = Annotated[str, AfterValidator(_node)]
Interface = Annotated[str, AfterValidator(_interface)]
Network = Annotated[str, AfterValidator(_network)]
Directory = Annotated[str, AfterValidator(_directory)]
File = Annotated[str, AfterValidator(_file)]
NamespaceFile = Annotated[str, AfterValidator(_namespace)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Duration = Annotated[int, BeforeValidator(_duration), PlainSerializer(durations.render, when_used="json")]
Interval = Annotated[int, BeforeValidator(_duration), AfterValidator(_interval)]
Days = Annotated[int | None, BeforeValidator(_days)]

# TOML has lists only; a tuple cannot be changed behind the configuration's back.
Interfaces = Annotated[tuple[Interface, ...], Field(strict=False), AfterValidator(unique)]
Networks = Annotated[tuple[Network, ...], Field(strict=False), AfterValidator(unique)]
