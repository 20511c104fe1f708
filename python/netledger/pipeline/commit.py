"""One closed generation: receipt, rows, exports, release. Pure composition."""

import logging
from dataclasses import replace
from typing import final

from netledger.exports.csv import sums
from netledger.exports.directory import ExportDirectory
from netledger.receipt import Count, Receipt
from netledger.sources.base import Closed

__all__ = ["Closed", "Pipeline"]

_log = logging.getLogger(__name__)


@final
class Pipeline:
    """Commits closed generations to the exports below the store.

    Each interval counts exactly once: its identity is (node, meter, seq), and one that is there already is only
    released.
    """

    def __init__(self, node: str, exports: ExportDirectory) -> None:
        self._node = node
        self._exports = exports

    def commit(self, closed: Closed, *, remarks: tuple[str, ...] = (), is_left: bool = False) -> Receipt:
        """Makes an interval durable, then lets the source forget it. Blocks for the disk.

        ``is_left`` says that a process before this one closed it or left it open, and may have written it already. To
        commit it again in the same process is harmless in any case: the files have the same names.

        Raises:
            ExportError: it could not be written. The generation is kept; commit it again later.
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
        if is_left and self._is_known(receipt):
            _log.info("known", extra={"fields": {"meter": receipt.meter, "seq": receipt.seq}})
        else:
            receipt = self._write(closed, receipt)
        closed.release()
        return receipt

    def _is_known(self, receipt: Receipt) -> bool:
        meter, seq, start_ns = receipt.meter, receipt.seq, receipt.start_ns
        if self._exports.has(meter=meter, seq=seq, start_ns=start_ns):
            return True
        self._exports.remove_rows(meter=meter, seq=seq, start_ns=start_ns)
        return False

    def _write(self, closed: Closed, receipt: Receipt) -> Receipt:
        rows = closed.batch()
        if receipt.observed.kernel is not None:
            receipt = _checked(receipt, *sums(rows))
        self._exports.write(receipt, rows)
        return receipt


def _checked(receipt: Receipt, sent: Count, received: Count) -> Receipt:
    """The receipt, or one that says that the rows are not what was accounted.

    The two are counted apart, so a difference means damage. It must not pass for proven, and it must not keep the
    interval from being written either.
    """
    accounted = receipt.observed.accounted
    if sent == received == accounted:
        return receipt
    why = (
        f"the rows add up to {sent.packets} packets ({sent.bytes} bytes) sent and {received.packets} "
        f"({received.bytes}) received, but {accounted.packets} ({accounted.bytes}) were accounted"
    )
    interrupted = "; ".join(part for part in (receipt.observed.interrupted, why) if part)
    return replace(receipt, observed=replace(receipt.observed, interrupted=interrupted))
