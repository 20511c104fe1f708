"""The contract between who learns whose an address is, and who keeps it."""

from collections.abc import Sequence
from typing import Protocol

from netledger.attribution.facts import Fact


class Recorder(Protocol):
    """Keeps facts. Safe to use from several threads; every call may block for the disk, or for another writer."""

    def learn(self, facts: Sequence[Fact]) -> None:
        """Keeps them in this order, all or none; they are durable when it returns.

        What changes nothing of what its source claims already is left out, so to say a thing twice does no harm.

        Raises:
            LedgerError: the disk is full, broken or refuses. Nothing of them is kept: say them again.
        """

    def open_claims(self, source: str) -> list[Fact]:
        """What a source claims of now and later, as it stands: where a part was replaced, what is left.

        Raises:
            LedgerError: the ledger cannot be read.
        """

    def cut_moment(self) -> int:
        """The moment, UTC nanoseconds, at which a hand-over that happens now is to be booked.

        With ``cut_on_assignment`` the open intervals end at it, so call it before traffic of the new holder can flow,
        and let facts begin and end at what it gives. In a storm of hand-overs intervals are cut once a second: it
        blocks until then, and who calls meanwhile gets the same moment. Without ``cut_on_assignment``, and when the
        daemon is about to end, it is the time, at once.
        """
