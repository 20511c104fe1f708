"""Interfaces that a meter is to count and that are not there: most likely a misspelt name."""

import logging
import socket
from collections.abc import Iterable

_ANY_REST = "*"

log = logging.getLogger(__name__)


def missing(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Those of ``wanted`` that none of the names ``there`` fits; ``ppp*`` is fitted by every name that begins so."""
    names = list(there)
    return [one for one in wanted if not any(_fits(one, name) for name in names)]


def warn_of_missing(meter: str, wanted: Iterable[str]) -> None:
    """Logs each interface of ``wanted`` that is not there now. It is no error: interfaces come and go."""
    for interface in missing(wanted, (name for _, name in socket.if_nameindex())):
        log.warning("interface_not_there", extra={"fields": {"meter": meter, "interface": interface}})


def _fits(wanted: str, name: str) -> bool:
    return name.startswith(wanted[:-1]) if wanted.endswith(_ANY_REST) else name == wanted
