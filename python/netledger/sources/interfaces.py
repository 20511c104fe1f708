"""Interfaces by name: which ones a meter is to count, and those that are not there."""

import logging
import socket
from collections.abc import Iterable

_ANY_REST = "*"
_STAR_ITSELF = "[*]"

log = logging.getLogger(__name__)


def fits(wanted: str, name: str) -> bool:
    """Whether a pattern fits a name: ``ppp*`` fits every name that begins so, and ``[*]`` at the end is the character.

    The native core has the same rule.
    """
    if wanted.endswith(_STAR_ITSELF):
        return name == wanted.removesuffix(_STAR_ITSELF) + _ANY_REST
    return name.startswith(wanted[:-1]) if wanted.endswith(_ANY_REST) else name == wanted


def takes_all(pattern: str, other: str) -> bool:
    """Whether a pattern fits every name that another one fits."""
    if other.endswith(_STAR_ITSELF):
        return fits(pattern, other.removesuffix(_STAR_ITSELF) + _ANY_REST)
    if not other.endswith(_ANY_REST):
        return fits(pattern, other)
    is_one_name = pattern.endswith(_STAR_ITSELF) or not pattern.endswith(_ANY_REST)
    return not is_one_name and other[:-1].startswith(pattern[:-1])


def missing(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Those of ``wanted`` that fit none of the names ``there``."""
    names = list(there)
    return [one for one in wanted if not any(fits(one, name) for name in names)]


def absent(wanted: Iterable[str]) -> list[str]:
    """Those of ``wanted`` that are whole names, and that no interface has now, where the calling thread is.

    That none fits the beginning of a name is as it should be: nobody has dialled in.
    """
    names = [one for one in wanted if one.endswith(_STAR_ITSELF) or not one.endswith(_ANY_REST)]
    return missing(names, _there()) if names else []


def _there() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def warn_of_missing(meter: str, wanted: Iterable[str]) -> None:
    """Logs each interface of ``wanted`` that is not there now. It is no error: interfaces come and go."""
    for interface in missing(wanted, _there()):
        log.warning("interface_not_there", extra={"fields": {"meter": meter, "interface": interface}})
