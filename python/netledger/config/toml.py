"""Values as TOML writes them; the standard library reads TOML only."""

import re
from collections.abc import Mapping
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def value_to_toml(value: object) -> str:
    """One value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + "".join(_escaped(character) for character in value) + '"'
        case Mapping():
            pairs = ", ".join(f"{key_to_toml(str(key))} = {value_to_toml(inner)}" for key, inner in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return "[" + ", ".join(value_to_toml(inner) for inner in value) + "]"
        case _:
            return str(value)


def key_to_toml(key: str) -> str:
    """One part of a key: in quotes where it has to be."""
    return key if _BARE.fullmatch(key) else value_to_toml(key)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08X}"


def table(value: object) -> Mapping[str, object]:
    """A value that should be a table; an empty one where it is none, which is told elsewhere."""
    return value if isinstance(value, dict) else {}
