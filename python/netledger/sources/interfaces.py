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


def missing(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Those of ``wanted`` that fit none of the names ``there``."""
    names = list(there)
    return [one for one in wanted if not any(fits(one, name) for name in names)]


def warn_of_missing(meter: str, wanted: Iterable[str]) -> None:
    """Logs each interface of ``wanted`` that is not there now. It is no error: interfaces come and go."""
    for interface in missing(wanted, (name for _, name in socket.if_nameindex())):
        log.warning("interface_not_there", extra={"fields": {"meter": meter, "interface": interface}})
