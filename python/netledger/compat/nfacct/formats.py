"""What ``list`` and ``get`` print: lines, XML or JSON.

The plain lines are the old program's bytes. Its XML knows no quota and its JSON is none when there is a quota; neither
escapes names, and of no objects both print nothing at all. Those bytes are still to be had, for scripts that lean on
them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from netledger.compat.nfacct.arguments import Form
from netledger.nfacct import Counter, Unit

__all__ = ["line", "pieces"]

_MODES: Final = {Unit.BYTES: b"byte", Unit.PACKETS: b"packet"}
_XML_HEAD: Final = b'<?xml version="1.0" encoding="utf-8"?>\n<nfacct>\n'
_XML_TAIL: Final = b"</nfacct>\n"
_JSON_HEAD: Final = b'{ "timestamp" : %d, \n  "nfacct_counters" : [\n'
_JSON_TAIL: Final = b"\n] }\n"
# A parser makes a line feed of a carriage return, unless it is written as a number.
_XML_MARKS: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
# XML 1.0, production 2: no way leads to any of these.
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NOT_IN_JSON: Final = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')
_JSON_MARKS: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def line(counter: Counter) -> bytes:
    """The plain line, with its end."""
    quota = counter.quota
    limit = b""
    if quota is not None:
        over = b"yes" if counter.over_quota else b"no"
        limit = b", quota = %020d, mode = %s, overquota = %s" % (quota.limit, _MODES[quota.unit], over)
    return b"{ pkts = %020d, bytes = %020d%s } = %s;\n" % (counter.packets, counter.bytes, limit, counter.name)


def pieces(counters: Iterable[Counter], form: Form, *, timestamp_seconds: int, is_strict: bool) -> Iterator[bytes]:
    """The text, a piece for each object: an object is asked for when its piece is, and the first one before any."""
    if form == "plain":
        yield from map(line, counters)
        return
    written = _xml if form == "xml" else _json
    head, between, tail = (
        (_XML_HEAD, b"\n", b"\n" + _XML_TAIL) if form == "xml" else (_JSON_HEAD % timestamp_seconds, b",\n", _JSON_TAIL)
    )
    before = head
    for counter in counters:
        yield before + written(counter, is_strict=is_strict)
        before = between
    if before is between:
        yield tail
    elif not is_strict:
        yield head + tail.removeprefix(b"\n")


def _xml(counter: Counter, *, is_strict: bool) -> bytes:
    name = counter.name if is_strict else _xml_name(counter)
    opening = b"" if is_strict or not _NOT_IN_XML.search(counter.text) else b' hex="%s"' % counter.name.hex().encode()
    quota = b""
    if counter.quota is not None and not is_strict:
        over = b"yes" if counter.over_quota else b"no"
        quota = b"<quota>%020d</quota><mode>%s</mode><overquota>%s</overquota>" % (
            counter.quota.limit,
            _MODES[counter.quota.unit],
            over,
        )
    counts = b"<pkts>%020d</pkts><bytes>%020d</bytes>" % (counter.packets, counter.bytes)
    return b"<obj><name%s>%s</name>%s%s</obj>" % (opening, name, counts, quota)


def _xml_name(counter: Counter) -> bytes:
    text = re.sub("[&<>\r]", lambda mark: _XML_MARKS[mark[0]], counter.text)
    return _NOT_IN_XML.sub("\ufffd", text).encode()


def _json(counter: Counter, *, is_strict: bool) -> bytes:
    sign = b"=" if is_strict else b":"
    name = counter.name if is_strict else _NOT_IN_JSON.sub(_json_mark, counter.text).encode()
    quota = b""
    if counter.quota is not None:
        quota = b', "quota" : %d, "mode" %s "%s", "overquota" %s %d' % (
            counter.quota.limit,
            sign,
            _MODES[counter.quota.unit],
            sign,
            counter.over_quota,
        )
    return b'  { "pkts" : %d, "bytes" : %d%s, "name" : "%s" }' % (counter.packets, counter.bytes, quota, name)


def _json_mark(mark: re.Match[str]) -> str:
    return _JSON_MARKS.get(mark[0]) or f"\\u{ord(mark[0]):04x}"
