"""One closed generation: receipt, rows, ledger, release; then the exports may have it. Pure composition."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import final

from netledger.exports.csv import named_sums, sums
from netledger.exports.formats import Export
from netledger.ledger import Known, Ledger
from netledger.ledger.prefixes import Lengths
from netledger.pipeline.exports import Exports
from netledger.receipt import Count, Receipt
from netledger.schema import Table
from netledger.sources.base import Closed

__all__ = ["Closed", "Pipeline"]

_log = logging.getLogger(__name__)


@final
class Pipeline:
    """Commits closed generations to the ledger, and tells the exports that they are there.

    Each interval counts exactly once: its identity is (node, meter, seq), and one that is there already is only
    released. To be used from one thread at a time.
    """

    def __init__(self, node: str, ledger: Ledger, exports: Exports) -> None:
        self._node = node
        self._ledger = ledger
        self._exports = exports
        self._lengths: dict[str, Lengths] = {}

    def expect(self, meter: str, lengths: Lengths) -> None:
        """Says how much of an address a meter keeps, from its next interval on. From any thread."""
        self._lengths[meter] = lengths

    def open(self) -> None:
        """Opens the ledger, and starts the exports.

        Raises:
            LedgerError: it cannot be opened.
        """
        leftovers = self._ledger.open()
        for path in leftovers.removed:
            _log.info("leftover_removed", extra={"fields": {"file": path}})
        if leftovers.kept:
            fields = {
                "files": len(leftovers.kept),
                "first": leftovers.kept[0],
                "hint": "was ledger.sqlite replaced by an older copy? they count in no report until it is back",
            }
            _log.error("files_of_no_ledger", extra={"fields": fields})
        self._exports.open(self._ledger)

    def close(self) -> None:
        """Ends the exports, then closes the ledger. May be called twice."""
        self._exports.close()
        self._ledger.close()

    def let_go(self) -> None:
        """Closes the ledger and nothing else, so that its file system may be mended; :meth:`open` opens it again."""
        self._ledger.close()

    def change_exports(self, wanted: Sequence[Export]) -> None:
        """Goes on with another list of exports, see :meth:`Exports.change`."""
        self._exports.change(wanted, self._ledger)

    def is_export_due(self, meter: str) -> bool:
        """Whether a meter has committed intervals that some export has not written. From any thread."""
        return self._exports.is_due(meter)

    def commit(self, closed: Closed, *, remarks: tuple[str, ...] = ()) -> Receipt:
        """Makes an interval durable, and lets the source forget it. Blocks for the disk.

        To commit it again is harmless. Gives its receipt as it was made now; where the interval was known, the one in
        the ledger counts. The exports have what is theirs by the same transaction, and write it in their own time.

        Raises:
            LedgerError: it could not be written. The generation is kept; commit it again later.
            SourceError: its table file cannot be read or removed.
        """
        receipt = Receipt(
            node=self._node,
            meter=closed.meter,
            seq=closed.seq,
            start_ns=closed.start.wall_ns,
            # Behind its start, even if the clock was stepped back while nobody ran; the receipt tells the step.
            end_ns=max(closed.end.wall_ns, closed.start.wall_ns + 1),
            monotonic_ns=closed.end.monotonic_ns - closed.start.monotonic_ns,
            observed=closed.observed,
            remarks=remarks,
        )
        rows = closed.batch()
        is_traffic = receipt.observed.table is Table.TRAFFIC
        receipt = _checked(receipt, len(rows), *(sums(rows) if is_traffic else named_sums(rows)))
        # Exports are of traffic: what other programs read has no columns for named counters.
        exports = self._exports.names_for(receipt.meter) if is_traffic else ()
        lengths = self._lengths.get(receipt.meter) if is_traffic else None
        outcome = self._ledger.commit(receipt, rows, exports=exports, lengths=lengths)
        if isinstance(outcome, Known):
            _log.info("known", extra={"fields": {"meter": receipt.meter, "seq": receipt.seq}})
        if exports:
            self._exports.committed(receipt.meter, self._ledger)
        closed.release()
        return receipt


def _checked(receipt: Receipt, rows: int, sent: Count, received: Count) -> Receipt:
    """The receipt, or one that says that the rows are not what was accounted.

    The two are counted apart, so a difference means damage. It must not pass for proven, and it must not keep the
    interval from being written either.
    """
    seen = receipt.observed
    reasons = [seen.interrupted] if seen.interrupted else []
    if seen.kernel is not None and not sent == received == seen.accounted:
        reasons.append(
            f"the rows add up to {sent.packets} packets ({sent.bytes} bytes) sent and {received.packets} "
            f"({received.bytes}) received, but {seen.accounted.packets} ({seen.accounted.bytes}) were accounted"
        )
    if rows != seen.rows:
        reasons.append(f"there are {rows} rows, but {seen.rows} were counted")
    return replace(receipt, observed=replace(seen, rows=rows, interrupted="; ".join(reasons) or None))
