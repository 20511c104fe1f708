"""Interfaces by name: which ones a meter is to count, and those that are not there."""

import logging
import socket
from collections.abc import Iterable, Sequence

from netledger.errors import NetledgerError
from netledger.sources.namespaces import Namespace

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


def absent(wanted: Sequence[str], netns: str | None = None) -> list[str]:
    """Those of ``wanted`` that are whole names, and that no interface has now; blocks for a moment.

    That none fits the beginning of a name is as it should be: nobody has dialled in. ``netns`` is the file of a network
    namespace, by default that of the calling thread; of one that cannot be entered nothing is said.
    """
    names = [one for one in wanted if one.endswith(_STAR_ITSELF) or not one.endswith(_ANY_REST)]
    if not names:
        return []
    if netns is None:
        return missing(names, _there())
    place = Namespace(netns)
    try:
        place.open()
        return missing(names, place.run(_there))
    except (NetledgerError, OSError):
        return []
    finally:
        place.close()


def _there() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def warn_of_missing(meter: str, wanted: Iterable[str]) -> None:
    """Logs each interface of ``wanted`` that is not there now. It is no error: interfaces come and go."""
    for interface in missing(wanted, _there()):
        log.warning("interface_not_there", extra={"fields": {"meter": meter, "interface": interface}})
