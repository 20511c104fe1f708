"""Claims of sources that are followed no more: nobody ends them, and they count where others say nothing."""

import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final

from netledger.attribution.facts import ASSIGN, IMPORT
from netledger.errors import LedgerError
from netledger.intervals import Clock
from netledger.ledger.assignments import Assignments

_PEOPLE: Final = frozenset((ASSIGN, IMPORT))
"""Whose word nobody follows: it was said once."""

_log = logging.getLogger(__name__)


def warn_of_left_claims(store: Path, clock: Clock, followed: Collection[str]) -> None:
    """Looks for them in a thread of its own, and logs which there are: a dial-in pool has thousands."""
    names = frozenset(followed) | _PEOPLE
    look = threading.Thread(target=_look, args=(Assignments(store, clock), names), name="left claims", daemon=True)
    look.start()


def _look(assignments: Assignments, known: Collection[str]) -> None:
    try:
        for source in assignments.sources():
            if source not in known and (claims := len(assignments.open_claims(source))):
                hint = f"netledger assignments end {source}, or configure [attribution.{source}] again"
                _log.warning(
                    "claims_of_no_source", extra={"fields": {"source": source, "claims": claims, "hint": hint}}
                )
    except LedgerError:
        return  # who commits to the ledger says what is wrong with it
