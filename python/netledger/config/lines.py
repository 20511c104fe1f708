"""On which line of a TOML text each key stands.

The standard parser tells no lines, so this reads the text once more, for the places only: it runs on text that the
parser has accepted already, and skips values without understanding them.
"""

import re
from typing import final

from netledger.config.problems import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MULTILINE_OPENERS = ('"""', "'''")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and list element of a valid TOML text."""
    return _Scanner(text).scan()


def line_for(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a path, or of the nearest thing above it that stands in the text."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


@final
class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._array_tables: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._skip_blank(newlines=True)
            if self._at >= len(self._text):
                return self._lines
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._at)
        line = self._line
        self._advance(2 if is_array else 1)
        keys = self._key()
        self._advance(2 if is_array else 1)
        path: Path = ()
        for key in keys:
            path = self._element((*path, key))
            self._lines.setdefault(path, line)
        if is_array:
            bare = path[:-1] if path in self._array_tables or isinstance(path[-1], int) else path
            position = self._array_tables.get(bare, -1) + 1
            self._array_tables[bare] = position
            self._lines.setdefault(bare, line)
            path = (*bare, position)
        self._lines.setdefault(path, line)
        return path

    def _element(self, path: Path) -> Path:
        """The path of the newest element when it is an array of tables, else the path itself."""
        position = self._array_tables.get(path)
        return path if position is None else (*path, position)

    def _pair(self, table: Path) -> None:
        line = self._line
        path = table
        for key in self._key():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._skip_blank(newlines=False)
        self._advance(1)  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        keys = []
        while True:
            self._skip_blank(newlines=False)
            if self._peek() in {'"', "'"}:
                start = self._at
                self._string()
                keys.append(_unquoted(self._text[start : self._at]))
            else:
                match = _BARE.match(self._text, self._at)
                key = match[0] if match else ""
                keys.append(key)
                self._advance(len(key))
            self._skip_blank(newlines=False)
            if self._peek() != ".":
                return keys
            self._advance(1)

    def _value(self, path: Path) -> None:
        self._skip_blank(newlines=False)
        match self._peek():
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                while self._at < len(self._text) and self._peek() not in ",]}#\n":
                    self._advance(1)

    def _array(self, path: Path) -> None:
        self._advance(1)
        position = 0
        while True:
            self._skip_blank(newlines=True)
            match self._peek():
                case "]" | "":
                    self._advance(1)
                    return
                case ",":
                    self._advance(1)
                case _:
                    self._lines[*path, position] = self._line
                    self._value((*path, position))
                    position += 1

    def _inline_table(self, path: Path) -> None:
        self._advance(1)
        while True:
            self._skip_blank(newlines=True)
            match self._peek():
                case "}" | "":
                    self._advance(1)
                    return
                case ",":
                    self._advance(1)
                case _:
                    self._pair(path)

    def _string(self) -> None:
        quote = self._peek()
        opener = self._text[self._at : self._at + 3]
        closer = opener if opener in _MULTILINE_OPENERS else quote
        self._advance(len(closer))
        while self._at < len(self._text) and not self._text.startswith(closer, self._at):
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        self._advance(len(closer))
        while len(closer) > 1 and self._peek() == quote:  # up to two quotes may stand before the closing three
            self._advance(1)

    def _skip_blank(self, *, newlines: bool) -> None:
        while self._at < len(self._text):
            if self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._advance((len(self._text) if end < 0 else end) - self._at)
            elif self._peek() in " \t\r" or (newlines and self._peek() == "\n"):
                self._advance(1)
            else:
                return

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _advance(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count


def _unquoted(text: str) -> str:
    # Only to find a key again; one with escapes is not worth a decoder, and falls back to its table's line.
    return text[1:-1]
