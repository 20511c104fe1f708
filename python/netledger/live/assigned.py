"""What is said when an address is assigned through a running daemon. Times are RFC 3339 in UTC."""

from dataclasses import dataclass
from typing import Final, final

ASSIGN: Final = "assign"
"""What is asked for."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedFact:
    """One fact of the ledger.

    Attributes:
        id: its number in the ledger; 0 of what was said already, and not written again.
        target: what is assigned, in the form that ``netledger assign`` reads.
        subject: whose it is; None is nobody's.
        mac: the device that had the address, or None.
        valid_from: since when.
        valid_to: until when; None is until further notice.
        source: who says so.
        learnt_at: when the ledger got to know; None of what was not written.
        detail: what else is known.
    """

    id: int
    target: str
    subject: str | None
    mac: str | None
    valid_from: str
    valid_to: str | None
    source: str
    learnt_at: str | None
    detail: dict[str, str]
