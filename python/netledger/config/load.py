"""Text to configuration: parsed, checked as a whole, and every mistake reported with its line."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from netledger.config import across, problems, shapes
from netledger.config.attribution import KINDS
from netledger.config.lines import line_for, lines_of
from netledger.config.meter import Meter
from netledger.config.model import Config
from netledger.config.problems import ConfigError, Problem
from netledger.config.toml import value_to_toml

DEFAULT_PATH: Final = Path("/etc/netledger/netledger.toml")

_SYNTAX_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_BARE: Final = re.compile(r"[A-Za-z_/][\w./:-]*")
_QUOTED: Final = re.compile("'([^']*)'")
_SHOWN_MAX: Final = 60
_KIND_AT: Final = 2
_OF_METER: Final = 3

# What pydantic finds, as cause and hint.
_WORDS: Final[dict[str, tuple[str, str | None]]] = {
    "missing": ("is missing", None),
    "string_type": ("{shown} is no text", "text stands in quotes"),
    "bool_type": ("{shown} is neither true nor false", None),
    "int_type": ("{shown} is no whole number", None),
    "literal_error": ("{shown} is not possible here", "{expected}"),
    "greater_than_equal": ("{shown} is too small", "at least {ge}"),
    "less_than_equal": ("{shown} is too big", "at most {le}"),
    "too_short": ("is empty", "leave it out to take the default"),
    "tuple_type": ("{shown} is no list", "as in [{shown}]"),
    "model_type": ("{shown} is no table", "as in [{key}]"),
    "model_attributes_type": ("{shown} is no table", "as in [{key}]"),
    "union_tag_invalid": ("{shown} is not possible here", "{expected_tags}"),
    "union_tag_not_found": ("is missing", "one of {kinds}"),
    "dict_type": ("{shown} is no table", "as in [{key}.NAME]"),
}
_OF_WORDS: Final = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
_HINT_NO_FILE: Final = f"is the path right? without one it is {DEFAULT_PATH}, or the defaults where that is not there"
_WRONG_SHAPE: Final = {"tuple_type", "model_type", "dict_type"}


def load(path: Path | None) -> Config:
    """The configuration of a file, or of the default file when ``path`` is None; that one may be missing.

    Raises:
        ConfigError: the file cannot be read, or is refused.
    """
    file = DEFAULT_PATH if path is None else path
    try:
        raw = file.read_bytes()
    except FileNotFoundError as error:
        if path is None:
            return loads("", file=str(file))
        raise ConfigError(str(file), [Problem((), None, "no such file", _HINT_NO_FILE)]) from error
    except OSError as error:
        raise ConfigError(str(file), [Problem((), None, (error.strerror or str(error)).lower())]) from error
    try:
        text = raw.decode("utf-8-sig")  # editors of another system put a byte order mark in front
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(str(file), [Problem((), line, "not UTF-8")]) from error
    return loads(text, file=str(file))


def loads(text: str, *, file: str) -> Config:
    """The configuration of a text; ``file`` is what messages call it.

    Raises:
        ConfigError: with every mistake there is. Of a syntax error the first one only.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, [_syntax(error, text)]) from error
    config, found = checked(document)
    if config is None or found:
        lines = lines_of(text.replace("\r\n", "\n"))
        raise ConfigError(file, [Problem(path, line_for(lines, path), cause, hint) for path, cause, hint in found])
    return config


def checked(document: dict[str, object]) -> tuple[Config | None, list[tuple[problems.Path, str, str | None]]]:
    """The configuration of a parsed text, where there can be one, and its mistakes as path, cause and hint."""
    found = list(across.check(document))
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        return None, found + [_translated(details) for details in _told(error)]
    return _resolved(config), found


def _told(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic found, without lists that it calls empty only because it refused all that stands in them."""
    found = error.errors(include_url=False)
    return [one for one in found if one["type"] != "too_short" or one["input"] in ([], ())]


def _resolved(config: Config) -> Config:
    """With what a meter leaves out taken from what stands above it."""
    meters = config.meters or Config().meters
    update: dict[str, object] = {"meters": {name: _with_inherited(config, one) for name, one in meters.items()}}
    if "exports" not in config.model_fields_set:
        update["exports"] = {
            name: one.model_copy(update={"directory": str(PurePosixPath(config.store, "exports"))})
            for name, one in Config().exports.items()
        }
    return config.model_copy(update=update)


def _with_inherited(config: Config, meter: Meter) -> Meter:
    left_out = {"interval_seconds", "cut_on_assignment"} - meter.model_fields_set
    return meter.model_copy(update={name: getattr(config, name) for name in left_out})


def syntax_line(error: tomllib.TOMLDecodeError) -> int | None:
    """The line that the parser names, from 1; None is the end of the text, where something is still open."""
    # Only Python 3.14 gives the line as a field; before that it is in the text and nowhere else.
    place = _SYNTAX_PLACE.search(str(error))
    return int(place[1]) if place and place[1] else None


def _syntax(error: tomllib.TOMLDecodeError, text: str) -> Problem:
    message = str(error)
    place = _SYNTAX_PLACE.search(message)
    cause = message[: place.start()] if place else message
    line = syntax_line(error) or text.count("\n") + 1
    return Problem((), line, cause[:1].lower() + cause[1:], _syntax_hint(text, line, cause))


def _syntax_hint(text: str, number: int, cause: str) -> str:
    """What the line should probably be: the commonest slips, and else how lines look."""
    line = "".join(text.split("\n")[number - 1 : number]).split("#")[0].strip()
    if line.startswith("[") and "twice" in cause:
        return "there is such a table above: put its keys there, or give this one another name"
    if line.startswith("["):
        brackets = "[" * (len(line) - len(line.lstrip("["))) if line.startswith("[[") else "["
        name = line.strip("[] \t")
        return f"a table is named like this: {brackets}{name or 'meters.lan'}{']' * len(brackets)}"
    key, equals, value = (part.strip() for part in line.partition("="))
    if equals and _BARE.fullmatch(value) and value not in {"true", "false"}:
        return f'text stands in quotes: {key} = "{value}"'
    return 'a line is [TABLE], KEY = VALUE or a comment behind "#"; text stands in quotes, lists in brackets'


def _translated(details: ErrorDetails) -> tuple[problems.Path, str, str | None]:
    """A finding of pydantic in the words of this program."""
    full = tuple(part for part in details["loc"] if part != "[key]")
    kind, found = details["type"], details["input"]
    context = details.get("ctx", {})
    path = _without_kind(full)
    if kind.startswith("union_tag"):
        # They speak of the table, and mean the one key that tells what else there may be.
        path = (*path, "source")
        found = found.get("source") if isinstance(found, dict) else found
    if kind == "refused":
        return path, str(context["cause"]), context["hint"]
    if kind == "extra_forbidden":
        return path, *_unknown(full)
    if kind not in _WORDS:
        return path, details["msg"][:1].lower() + details["msg"][1:], None
    cause, hint = _WORDS[kind]
    if kind == "int_type" and isinstance(found, str):
        hint = "a number stands without quotes"
    words = {"shown": _shown(found), "key": problems.dotted(path), "kinds": _quoted(KINDS), **context}
    known = shapes.hint(path, found) if kind in _WRONG_SHAPE else None
    if kind in _OF_WORDS and isinstance(found, str):
        meant = difflib.get_close_matches(found, _QUOTED.findall(str(context[_OF_WORDS[kind]])), n=1)
        known = f'did you mean "{meant[0]}"?' if meant else None
    return path, cause.format_map(words), known or (hint and hint.format_map(words).replace("'", '"'))


def _without_kind(path: problems.Path) -> problems.Path:
    """Where a mistake stands in the file: pydantic puts the kind of an attribution behind its name."""
    is_of_kind = path[:1] == ("attribution",) and len(path) > _KIND_AT and path[_KIND_AT] in KINDS
    return (*path[:_KIND_AT], *path[_KIND_AT + 1 :]) if is_of_kind else path


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _shown(value: object) -> str:
    text = value_to_toml(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _unknown(path: problems.Path) -> tuple[str, str | None]:
    name = str(path[-1])
    if inner := _inner_tables(path):
        return "unknown key", f"it stands in {' or '.join(inner)}"
    near = difflib.get_close_matches(name, _keys_at(path[:-1]), n=1)
    return "unknown key", f"did you mean {near[0]}?" if near else f"possible are {', '.join(_keys_at(path[:-1]))}"


def _inner_tables(path: problems.Path) -> list[str]:
    """Which tables of a meter have a key that was given to the meter itself, or to the file."""
    if len(path) == 1:
        return ["[meters.NAME]"] if path[0] in _keys_at(("meters",)) else []
    if path[0] != "meters" or len(path) != _OF_METER:
        return []
    *meter, name = path
    tables = [(*meter, key) for key in _keys_at(tuple(meter))]
    return [f"[{problems.dotted(table)}]" for table in tables if name in _keys_at(table)]


def _keys_at(path: problems.Path) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        field = next((field for key, field in _fields(model) if key == part), None)
        if field is not None:
            model = next(_models_in(field), model)
        elif path[0] == "attribution" and part in KINDS:
            model = KINDS[str(part)]
    return [key for key, _ in _fields(model)]


def _fields(model: type[BaseModel]) -> list[tuple[str, object]]:
    return [(field.alias or name, field.annotation) for name, field in model.model_fields.items()]


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
