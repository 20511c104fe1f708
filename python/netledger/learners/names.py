"""Names that come from outside, as subjects: what nobody can be called is refused, and nothing is made up for it."""

import logging
from typing import Final

from netledger.attribution.facts import learnt_subject, printable
from netledger.errors import FactError
from netledger.learners.base import Standing

_SHOWN_MAX: Final = 80

_log = logging.getLogger(__name__)


def subject(raw: str | bytes) -> str | None:
    """The subject that a text from outside names; None where it names none.

    Bytes that are no UTF-8 are read as Latin-1, as programs wrote them before there was anything else, so that two
    names never become the same.
    """
    text = raw if isinstance(raw, str) else _decoded(raw)
    try:
        return learnt_subject(text.strip())
    except FactError:
        return None


def refuse(attribution: str, standing: Standing, what: str, why: str, *, count: int = 1) -> None:
    """Counts and logs something that a source told and that cannot be. The same is logged once a minute.

    ``why`` is one of few sentences, by which it is counted; what differs each time belongs to ``what``.
    """
    standing.refused(why, count)
    fields = {"attribution": attribution, "error": f"{printable(what)[:_SHOWN_MAX]}: {why}"}
    _log.warning("learnt_refused", extra={"fields": fields})


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
