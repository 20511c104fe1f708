"""What a file says of where things are, also where it is refused: for commands that need no more than that.

The daemon goes on with what it has read while somebody edits the file, and a hook that runs meanwhile must not lose
what it has to say. But it must not be said in another place either: where a mistake may hide a directory, nothing is
guessed.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.config import problems
from netledger.config.load import DEFAULT_PATH, checked, load, syntax_line
from netledger.config.model import Config
from netledger.config.problems import ConfigError

_TABLE: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
_NAMED: Final = frozenset(("meters", "exports", "attribution"))
# What stands for a byte that is no UTF-8.
_NO_TEXT: Final = "\ufffd"


@final
@dataclass(frozen=True, slots=True)
class Readable:
    """A configuration as far as it can be read.

    Attributes:
        config: what can be; tables with a mistake are left out of it, and behind one of syntax all tables.
        refused: why it is not the whole, or None when it is.
    """

    config: Config
    refused: ConfigError | None


def read(path: Path | None, *, needed: Sequence[str]) -> Readable:
    """The configuration of a file as :func:`load` has it, or of a refused one what is certain.

    ``needed`` are keys of directories, such as ``store``, without which the rest is of no use.

    Raises:
        ConfigError: the file cannot be read, or does not say for certain what is needed.
    """
    try:
        return Readable(load(path), None)
    except ConfigError as error:
        refused = error
    try:
        text = (DEFAULT_PATH if path is None else path).read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        raise refused from None
    document, unread = _parsed(text)
    if document is None:
        raise refused
    doubtful = [key for key in needed if key not in document and _may_be_said(key, document, unread, text)]
    config, left_out = _without_mistakes(document)
    if config is None or doubtful or any((key,) in left_out or _NO_TEXT in str(document.get(key)) for key in needed):
        raise refused
    return Readable(config, refused)


def _parsed(text: str) -> tuple[dict[str, object] | None, list[str]]:
    """What can be parsed, and lines above all tables that cannot."""
    try:
        return tomllib.loads(text), []
    except tomllib.TOMLDecodeError:
        pass
    # A bracket that is not closed swallows what follows. Directories stand above all tables.
    first = _TABLE.search(text)
    lines = (text if first is None else text[: first.start()]).split("\n")
    unread: list[str] = []
    while True:
        try:
            return {**tomllib.loads("\n".join(lines)), "meters": {}}, unread
        except tomllib.TOMLDecodeError as error:
            line = syntax_line(error)
        if line is None or not lines[line - 1]:
            return None, unread  # something is open, and nobody knows since where
        unread.append(lines[line - 1])
        lines[line - 1] = ""


def _may_be_said(key: str, document: Mapping[str, object], unread: Iterable[str], text: str) -> bool:
    """Whether a directory that does not stand where it belongs is misspelt, or stands elsewhere."""
    unknown = [value for name, value in document.items() if name not in Config.model_fields]
    paths = [value for value in unknown if isinstance(value, str) and "/" in value]
    is_elsewhere = re.search(rf"^[ \t]*[\"']?{key}[\"']?[ \t]*=", text, re.MULTILINE) is not None
    return bool(paths) or is_elsewhere or any("/" in line or _NO_TEXT in line for line in unread)


def _without_mistakes(document: dict[str, object]) -> tuple[Config | None, set[problems.Path]]:
    """What is left when each table and each key with a mistake is taken out, and which those were."""
    left_out: set[problems.Path] = set()
    while True:
        config, found = checked(document)
        if config is not None and not found:
            return (config if document.get("meters") != {} else config.model_copy(update={"meters": {}})), left_out
        wrong = {path[:2] if path[:1] and path[0] in _NAMED else path[:1] for path, *_ in found} - left_out
        if not wrong:
            return None, left_out
        for path in wrong:
            _take_out(document, path)
        left_out |= wrong


def _take_out(document: dict[str, object], path: problems.Path) -> None:
    first, *more = map(str, path)
    inner = document.get(first)
    if more and isinstance(inner, dict):
        document[first] = {name: value for name, value in inner.items() if name != more[0]}
    else:
        document.pop(first, None)
