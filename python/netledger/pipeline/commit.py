"""One closed generation: receipt, rows, ledger, exports, release. Pure composition."""

import logging
from dataclasses import dataclass, replace
from typing import final

from netledger.errors import ExportError
from netledger.exports.csv import ArrowRows, sums
from netledger.exports.directory import ExportDirectory
from netledger.ledger import Known, Ledger
from netledger.ledger.intervals import interval_of, rows_of
from netledger.receipt import Count, Receipt
from netledger.sources.base import Closed

__all__ = ["Closed", "Done", "Pipeline"]

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Done:
    """An interval that is committed.

    Attributes:
        receipt: its receipt, as it was made now. Where the interval was known, the one in the ledger counts.
        export_error: why it could not be exported, or None. The ledger holds it, and knows that it is due.
    """

    receipt: Receipt
    export_error: ExportError | None = None


@final
class Pipeline:
    """Commits closed generations to the ledger, and writes the exports below the store.

    Each interval counts exactly once: its identity is (node, meter, seq), and one that is there already is only
    released. To be used from one thread at a time.
    """

    def __init__(self, node: str, ledger: Ledger, exports: ExportDirectory) -> None:
        self._node = node
        self._ledger = ledger
        self._exports = exports

    def open(self) -> list[str]:
        """Opens the ledger, and gives the meters that have intervals which were not exported.

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
        return self._ledger.meters_due()

    def close(self) -> None:
        """Closes the ledger. May be called twice."""
        self._ledger.close()

    def commit(self, closed: Closed, *, remarks: tuple[str, ...] = (), is_left: bool = False) -> Done:
        """Makes an interval durable, exports it, and lets the source forget it. Blocks for the disk.

        ``is_left`` says that a process before this one closed it or left it open, and may have written it already. To
        commit it again in the same process is harmless in any case.

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
        receipt = _checked(receipt, len(rows), *sums(rows))
        outcome = self._ledger.commit(receipt, rows)
        is_known = isinstance(outcome, Known)
        if is_known:
            _log.info("known", extra={"fields": {"meter": receipt.meter, "seq": receipt.seq}})
        # What a process before this one has written is not written again: it may end a little earlier.
        done = Done(receipt, self._export_due(receipt.meter) if is_known or is_left else self._export(receipt, rows))
        closed.release()
        return done

    def export_due(self, meter: str) -> None:
        """Exports what the ledger has of a meter and was not exported, the oldest first. Blocks for the disk.

        Raises:
            ExportError: one could not be written; it and those behind it are still due.
            LedgerError: the ledger cannot be read or written.
        """
        for node, seq in self._ledger.due(meter):
            interval = interval_of(self._ledger.connection, self._ledger.store, node=node, meter=meter, seq=seq)
            if not self._exports.has(meter=meter, seq=seq, start_ns=interval.start_ns):
                self._exports.remove_rows(meter=meter, seq=seq, start_ns=interval.start_ns)
                rows = rows_of(self._ledger.connection, self._ledger.store, interval)
                self._exports.write_committed(interval, rows, interval.receipt)
            self._ledger.exported(node=node, meter=meter, seq=seq)

    def _export(self, receipt: Receipt, rows: ArrowRows) -> ExportError | None:
        try:
            self._exports.write(receipt, rows)
        except ExportError as error:
            return error
        self._ledger.exported(node=receipt.node, meter=receipt.meter, seq=receipt.seq)
        return None

    def _export_due(self, meter: str) -> ExportError | None:
        try:
            self.export_due(meter)
        except ExportError as error:
            return error
        return None


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
