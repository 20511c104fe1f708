"""Text as the Go programming language prints it: quoted strings, error numbers, moments in local time, paths."""

import os
import posixpath
import time
from datetime import datetime, tzinfo

__all__ = ["errno_text", "file_stamp", "join_path", "log_stamp", "moment_text", "quote", "row_stamp", "syslog_stamp"]

_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": "\\\\",
    '"': r"\"",
}
# Not from the locale: syslog's header is English everywhere.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECOND_NS = 1_000_000_000
_DELETE = 0x7F
_FIRST_PRINTABLE = 0x20
_BMP_END = 0x10000


def quote(text: str) -> str:
    """Text in double quotes, as ``%q`` does; a byte that was no UTF-8 comes out in hexadecimal."""
    return '"' + "".join(_quoted_character(character) for character in text) + '"'


def _quoted_character(character: str) -> str:
    escape = _ESCAPES.get(character)
    if escape is not None:
        return escape
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - the range of surrogateescape: a raw byte
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < _FIRST_PRINTABLE or code == _DELETE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _BMP_END else f"\\U{code:08x}"


def errno_text(error: OSError) -> str:
    """The system's words for an error number, in lower case: ``no space left on device``."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def join_path(directory: str, name: str) -> str:
    """Directory and name with superfluous slashes and dots removed; an empty directory is the current one."""
    if not directory:
        return name
    path = posixpath.normpath(f"{directory}/{name}")
    # normpath keeps two leading slashes, which POSIX allows to be special; on Linux they are not.
    return path[1:] if path.startswith("//") else path


def log_stamp(wall_ns: int) -> str:
    """``2006/01/02 15:04:05`` in local time."""
    return time.strftime("%Y/%m/%d %H:%M:%S", _local(wall_ns))


def syslog_stamp(wall_ns: int) -> str:
    """``Jan _2 15:04:05`` in local time, the day padded with a blank."""
    local = _local(wall_ns)
    return f"{_MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} {time.strftime('%H:%M:%S', local)}"


def file_stamp(wall_ns: int, zone: tzinfo | None = None) -> str:
    """``2006-01-02-150405`` as in the name of a file, in local time or in that of a zone."""
    return time.strftime("%Y-%m-%d-%H%M%S", _local(wall_ns, zone))


def row_stamp(wall_ns: int, zone: tzinfo | None = None) -> str:
    """``2006-01-02 15:04:05`` as in a row, in local time or in that of a zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", _local(wall_ns, zone))


def moment_text(wall_ns: int) -> str:
    """``2006-01-02 15:04:05.5 -0500 EST`` in local time, the fraction only when there is one."""
    local = _local(wall_ns)
    fraction = f"{wall_ns % _SECOND_NS:09d}".rstrip("0")
    sign = "-" if local.tm_gmtoff < 0 else "+"
    hours, rest = divmod(abs(local.tm_gmtoff), 3600)
    dot = "." if fraction else ""
    return f"{row_stamp(wall_ns)}{dot}{fraction} {sign}{hours:02d}{rest // 60:02d} {local.tm_zone}"


def _local(wall_ns: int, zone: tzinfo | None = None) -> time.struct_time:
    seconds = wall_ns // _SECOND_NS
    return time.localtime(seconds) if zone is None else datetime.fromtimestamp(seconds, zone).timetuple()
