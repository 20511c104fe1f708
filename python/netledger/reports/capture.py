"""What a capture comes to: its rows, its balance, and what must be said about it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netledger.errors import CaptureError
from netledger.receipt import Balance, Count, Observed, rfc3339
from netledger.reports.rows import Rows, arrange
from netledger.sources.pcap import Capture

if TYPE_CHECKING:
    import pyarrow as pa

_NOT_IP = "not_ip"
_WORDS = {
    "empty": "without an IP header",
    "version": "of another IP version than announced",
    "short": "cut before the end of the IP header",
    "header_length": "with an impossible IP header length",
    "total_length": "with an impossible IP total length",
    _NOT_IP: "not IP",
}
_CUT = frozenset({"empty", "short"})
"""What a capture with too small a snap length leaves of a packet: it was one, and would have been counted."""
_MEANING = "packets as captured"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureReport:
    """A capture, added up.

    Attributes:
        capture: what was read.
        rows: its rows, in their order.
        balance: its intervals, none of which can be proven: a capture holds no count to compare with.
    """

    capture: Capture
    rows: Rows
    balance: Balance

    @property
    def warnings(self) -> list[str]:
        """What makes the numbers less than whole, a sentence each. Frames that are not IP are none of it."""
        totals = self.capture.totals
        unread = {name: count for name, count in totals.unreadable.items() if count and name != _NOT_IP}
        sentences = []
        if unread:
            sentences.append(f"not accounted, as they could not be read: {_listed(unread)}")
        if totals.length_unknown_packets:
            sentences.append(
                f"{_counted(totals.length_unknown_packets, 'packet')} without a length in the header: "
                "counted by the length of the frame"
            )
        if odd := self.capture.time_invalid_packets:
            sentences.append(
                f"{_counted(odd, 'frame')} with an impossible time (time_invalid): counted at the second that it names"
            )
        if totals.other_packets:
            sentences.append(
                f"{_counted(totals.other_packets, 'packet')} found no row among {self.capture.config.rows_max:,} "
                "(--rows-max) and are added up as other"
            )
        return sentences

    @property
    def cut(self) -> str | None:
        """How many packets were cut before the end of their IP header, and in which way; None when none was."""
        cut = {name: count for name, count in self.capture.totals.unreadable.items() if count and name in _CUT}
        number = sum(cut.values())
        verb = "is" if number == 1 else "are"
        return f"{_counted(number, 'packet')} {verb} not accounted: {_listed(cut)}" if cut else None

    @property
    def lines(self) -> list[str]:
        """Totals and balance, for people."""
        capture, accounted = self.capture, self.balance.accounted
        when = ""
        if capture.first_ns is not None and capture.last_ns is not None:
            when = f", from {rfc3339(capture.first_ns)} to {rfc3339(capture.last_ns)}"
        lines = [f"total: {_counted(accounted.packets, 'packet')}, {_counted(accounted.bytes, 'byte')}{when}"]
        if not_ip := capture.totals.unreadable.get(_NOT_IP, 0):
            lines[0] += f"; besides {_counted(not_ip, 'frame')} not IP"
        lines.append("balance: sent = received = accounted; unproven, as a capture holds no count to compare with")
        return lines

    def to_json(self) -> dict[str, object]:
        """All but the rows, as JSON values."""
        capture = self.capture
        first_ns, last_ns = capture.first_ns, capture.last_ns
        # Half-open, as every interval: the last packet belongs to it.
        end_ns = None if last_ns is None else last_ns + 1
        return {
            "period": {
                "start": None if first_ns is None else rfc3339(first_ns),
                "end": None if end_ns is None else rfc3339(end_ns),
            },
            "balance": self.balance.to_json(),
            "capture": {
                "file": capture.config.path,
                "link_types": list(capture.link_types),
                "frames": capture.totals.received_packets,
                "unreadable": {name: count for name, count in capture.totals.unreadable.items() if count},
                "time_invalid_packets": capture.time_invalid_packets,
                "length_unknown_packets": capture.totals.length_unknown_packets,
                "other_packets": capture.totals.other_packets,
                "other_bytes": capture.totals.other_bytes,
                "truncated": capture.truncated,
                "rows_left_out": self.rows.left_out,
            },
        }


def report(capture: Capture, *, sort: str, top: int | None) -> CaptureReport:
    """Adds up a capture; see :func:`netledger.reports.rows.arrange` for ``sort`` and ``top``.

    Raises:
        CaptureError: the rows do not add up to what was counted on the way in. Such numbers are not given out.
    """
    import pyarrow as pa

    table = pa.table(pa.record_batch(capture.rows))
    config = capture.config
    rows = arrange(table, config.key, interval_ns=config.interval_ns, sort=sort, top=top)
    return CaptureReport(capture=capture, rows=rows, balance=_balance(capture, table))


def _balance(capture: Capture, table: "pa.Table") -> Balance:
    """One receipt for each interval, from the sums of its rows; they must agree with the count of the packets."""
    import pyarrow as pa

    names = ["sent_packets", "sent_bytes", "received_packets", "received_bytes"]
    # Added up as decimals: a sum of 64-bit integers would wrap silently.
    columns = [table.column(name).cast(pa.decimal128(38)) for name in names]
    if capture.config.interval_ns:
        columns.append(table.column("interval_start_ns"))
        grouped = pa.table(columns, names=[*names, "interval"]).group_by("interval", use_threads=False)
    else:
        grouped = pa.table(columns, names=names).group_by([], use_threads=False)
    sums = grouped.aggregate([(name, "sum") for name in names]).select([f"{name}_sum" for name in names])
    observed = []
    for interval in sums.to_pylist():
        sent_packets, sent_bytes, received_packets, received_bytes = (int(value or 0) for value in interval.values())
        sent, received = Count(sent_packets, sent_bytes), Count(received_packets, received_bytes)
        if sent != received:
            raise _unbalanced(capture, sent, received)
        observed.append(Observed(kernel=None, accounted=sent, rows=0, source="pcap", meaning=_MEANING))
    balance = Balance.of(observed)
    counted = Count(capture.totals.posted_sent_packets, capture.totals.posted_sent_bytes)
    if balance.accounted != counted:
        raise _unbalanced(capture, balance.accounted, counted)
    return balance


def _unbalanced(capture: Capture, one: Count, other: Count) -> CaptureError:
    cause = f"{one.packets} packets, {one.bytes} bytes against {other.packets} packets, {other.bytes} bytes"
    return CaptureError(capture.config.path, "balance", cause, "this is a fault of netledger; please report it")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items())
