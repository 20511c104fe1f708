"""From a question on the status socket to its answer: pure but for what the board says."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, final

from netledger.daemon.board import Board
from netledger.errors import NetledgerError, SourceError
from netledger.live.counters import COUNTERS_MAX, CountersHead
from netledger.live.shape import SORTS, TOP_DEFAULT, TOP_MAX, Row, TableHead
from netledger.receipt import rfc3339
from netledger.reports.written import Prefixes
from netledger.schema import COUNTER_COLUMNS
from netledger.sources import named
from netledger.sources.base import LiveRows

_KEYS: Final = {
    "status": frozenset({"get"}),
    "table": frozenset({"get", "meter", "top", "sort"}),
    "counters": frozenset({"get"}),
}
_WHAT: Final = '{"get": "status"} or {"get": "table", "meter": "lan", "top": 20, "sort": "bytes"}'


Later = Callable[[int], bytes]
"""Gives an answer that takes its time, when it is called with the user id of who asks."""


class _RefusedError(Exception):
    """The question is none."""

    def __init__(self, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


@final
class Answers:
    """Answers questions; changes nothing. To be used from one thread."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def answer(self, request: bytes) -> bytes:
        """The answer to one line: one line, and for a table one more for each row."""
        try:
            return self._answer(_understood(request))
        except _RefusedError as refusal:
            return refused(refusal.why, refusal.hint)

    def look(self) -> None:
        """See :meth:`Board.look`."""
        self._board.look()

    def _answer(self, request: dict[str, object]) -> bytes:
        if request["get"] == "status":
            return _line({"status": asdict(self._board.status())})
        if request["get"] == "counters":
            return self._counters()
        return self._table(request)

    def _table(self, request: dict[str, object]) -> bytes:
        top, sort = request.get("top", TOP_DEFAULT), request.get("sort", SORTS[0])
        if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= TOP_MAX:
            raise _RefusedError(f"top is a number from 1 to {TOP_MAX}")
        if not isinstance(sort, str) or sort not in SORTS:
            raise _RefusedError(f"sort is one of {', '.join(SORTS)}")
        name = self._name(request.get("meter"))
        meter = self._board.meter(name)
        if meter is None:
            raise _RefusedError(f"meter {name} does not count", self._who())
        try:
            live = meter.live(top=top, sort=sort)
        except SourceError as error:
            raise _RefusedError(str(error), "ask again") from error
        lengths = meter.config.prefix_length
        rows = _rows(live, Prefixes(ipv4=lengths.ipv4, ipv6=lengths.ipv6))
        start_ns = meter.start_ns
        head = TableHead(
            meter=name,
            now=rfc3339(self._board.clock.now().wall_ns),
            interval_start=None if start_ns is None else rfc3339(start_ns),
            sort=sort,
            rows=live.rows,
            rows_shown=len(rows),
            sent_bytes=live.sent.bytes,
            sent_packets=live.sent.packets,
            received_bytes=live.received.bytes,
            received_packets=live.received.packets,
        )
        return b"".join([_line({"table": asdict(head)}), *map(_line, rows)])

    def _counters(self) -> bytes:
        """All named counters of this network namespace, as they are now."""
        try:
            found = named.read(named.EVERY)
        except NetledgerError as error:
            raise _RefusedError(str(error), error.hint) from error
        rows = [named.as_row(one) for one in found[:COUNTERS_MAX]]
        now = rfc3339(self._board.clock.now().wall_ns)
        head = CountersHead(now=now, counters=len(found), counters_told=len(rows))
        return b"".join([_line({"counters": asdict(head)}), *(_line(asdict(row)) for row in rows)])

    def _name(self, asked: object) -> str:
        if isinstance(asked, str):
            return asked
        names = self._board.names()
        if asked is not None or len(names) != 1:
            raise _RefusedError("meter is the name of one", self._who())
        return names[0]

    def _who(self) -> str:
        return f"there are {', '.join(self._board.names()) or 'none'}"


def refused(why: str, hint: str | None = None) -> bytes:
    """The answer to what is no question."""
    return _line({"error": {"why": why, "hint": hint}})


def _understood(request: bytes) -> dict[str, object]:
    try:
        asked = json.loads(request)
    except (ValueError, RecursionError) as error:
        raise _RefusedError("that is not JSON", _WHAT) from error
    get = asked.get("get") if isinstance(asked, dict) else None
    known = _KEYS.get(get) if isinstance(get, str) else None
    if known is None:
        raise _RefusedError("nobody knows what is asked for", _WHAT)
    if unknown := set(asked) - known:
        raise _RefusedError(f"there is no {', '.join(sorted(unknown))} to {get}", _WHAT)
    return dict(asked)


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _rows(live: LiveRows, prefixes: Prefixes) -> list[Row]:
    """The rows by their columns; a column that is empty in all of them is left out."""
    import pyarrow as pa

    columns = pa.record_batch(live.batch).to_pydict()
    for name in ("host", "peer"):
        columns[name] = [None if one is None else prefixes.text(one) for one in columns[name]]
    filled = [name for name, cells in columns.items() if name in COUNTER_COLUMNS or any(c is not None for c in cells)]
    return [dict(zip(filled, cells, strict=True)) for cells in zip(*(columns[name] for name in filled), strict=True)]
