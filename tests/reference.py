"""Writes the reference pages from the declarations themselves: commands, configuration, columns, errors.

``make docs`` writes them; ``test_docs.py`` compares them, so that no command, key, column or error is without its page.
"""

import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from netledger import errors, schema
from netledger.cli.main import app
from netledger.config import Config, to_json

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_NOTE = "<!-- Written by `make docs` from the program itself; change the text there. -->\n"
Schema = Mapping[str, "Value"]
Value = str | int | bool | None | list["Value"] | dict[str, "Value"]


def pages() -> dict[str, str]:
    """The reference pages by file name."""
    made = {
        "commands.md": commands_page(typer.main.get_command(app)),
        "configuration.md": configuration_page(Config.model_json_schema(by_alias=True), json.loads(to_json(Config()))),
        "columns.md": columns_page(),
        "errors.md": errors_page(),
    }
    return {name: _NOTE + text for name, text in made.items()}


def commands_page(root: object) -> str:
    """Every command of the Typer app, with its arguments and options.

    Raises:
        ValueError: a command, an option or an argument says nothing about itself.
    """
    sections = ["# Commands\n"]
    for words, command in _walk("netledger", root):
        help_text = inspect.cleandoc(command.help or "")
        if not help_text:
            raise ValueError(f"command {words}: no help")
        sections.append(f"## {words}\n\n{help_text}\n")
        rows = list(_parameters(words, command))
        if rows:
            sections.append(_table(("", "Default", "Meaning"), rows))
    return "\n".join(sections)


def _walk(words: str, command: object) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"command {words}: not one of Typer's")
    if command.hidden:
        return
    yield words, command
    if isinstance(command, TyperGroup):
        for name, inner in sorted(command.commands.items()):
            yield from _walk(f"{words} {name}", inner)


def _parameters(words: str, command: TyperCommand | TyperGroup) -> Iterator[tuple[str, str, str]]:
    for parameter in command.params:
        if not isinstance(parameter, TyperArgument | TyperOption) or parameter.hidden:
            continue
        if isinstance(parameter, TyperOption):
            name = ", ".join(f"`{text}`" for text in (*parameter.opts, *parameter.secondary_opts))
        else:
            name = f"`{parameter.metavar or (parameter.name or '').upper()}`"
        if not parameter.help:
            raise ValueError(f"command {words}: {name}: no help")
        default = parameter.default
        shown = "" if callable(default) or default in (None, False, (), [], "") else f"`{default}`"
        yield name, "required" if parameter.required else shown, parameter.help


def configuration_page(root: Schema, defaults: Value) -> str:
    """Every key that the model knows, table by table.

    Raises:
        ValueError: a key or a table says nothing about itself.
    """
    how = "How values are written, and how a file is checked: [netledger config](config-check.md).\n"
    sections = ["# Configuration\n", how]
    sections.extend(_model(root, root, defaults, "netledger.toml"))
    return "\n".join(sections)


def _model(root: Schema, part: Schema, defaults: Value, title: str) -> Iterator[str]:
    description = str(part.get("description") or "")
    if not description:
        raise ValueError(f"{title}: no docstring")
    required = part.get("required") or []
    known = defaults if isinstance(defaults, dict) else {}
    rows = []
    inner: list[tuple[Schema, Value, str]] = []
    for key, declared in _object(part["properties"]).items():
        value = _object(declared)
        meaning = str(value.get("description") or "")
        if not meaning:
            raise ValueError(f"{title}: {key}: no description")
        default = known.get(key, value["default"]) if "default" in value else None
        target, below = _target(root, value, default)
        if target is not None:
            inner.append((target, below, key))
        for kind, variant in _variants(root, value):
            inner.append((variant, {}, f"{key}: {kind}"))
        is_table = target is not None and isinstance(default, dict)
        # No time at all stands for "not set": the description says what happens then.
        shown = "" if default in (None, "0d", {}) or is_table else f"`{json.dumps(default, ensure_ascii=False)}`"
        required_here = isinstance(required, list) and key in required
        rows.append((f"`{key}`", "required" if required_here else shown, " ".join((meaning, *_limits(value))).strip()))
    yield f"## {title}\n\n{description}\n"
    yield _table(("Key", "Default", "Meaning"), rows)
    for target, below, key in inner:
        yield from _model(root, target, below, key if title == "netledger.toml" else f"{title}.{key}")


def _target(root: Schema, value: Schema, default: Value) -> tuple[Schema | None, Value]:
    """The table that a key leads to, if it does, and the defaults in there."""
    below = default
    reference = value.get("$ref")
    for word in ("items", "additionalProperties"):
        if reference is None and isinstance(value.get(word), dict):
            reference = _object(value[word]).get("$ref")
            below = next(iter(default.values()), None) if isinstance(default, dict) else None
    if not isinstance(reference, str):
        return None, None
    return _object(_object(root["$defs"])[reference.rpartition("/")[2]]), below


def _variants(root: Schema, value: Schema) -> Iterator[tuple[str, Schema]]:
    """The kinds of table that a key may lead to, each by the word that tells it from the others."""
    of_each = value.get("additionalProperties")
    choice = of_each.get("discriminator") if isinstance(of_each, dict) else None
    if isinstance(choice, dict):
        for kind, reference in _object(choice["mapping"]).items():
            yield kind, _object(_object(root["$defs"])[str(reference).rpartition("/")[2]])


def _limits(value: Schema) -> Iterator[str]:
    """What is allowed, where the declaration says so in numbers or words."""
    variants = [value, *(_object(one) for one in _list(value.get("anyOf"))), _object(value.get("items") or {})]
    for variant in variants:
        words = _list(variant.get("enum"))
        if words:
            yield f"One of {', '.join(f'`{word}`' for word in words)}." if "items" not in value else ""
    if "minimum" in value and "maximum" in value:
        yield f"{value['minimum']} to {value['maximum']}."


def columns_page() -> str:
    """Every column of a traffic row, and of a row of a named counter."""
    rows = [(f"`{column.name}`", column.unit, column.meaning) for column in schema.ROW_COLUMNS]
    keys = ", ".join(f"`{name}`" for name in schema.KEY_COLUMNS)
    named = [(f"`{column.name}`", column.unit, column.meaning) for column in schema.NAMED_COLUMNS]
    return (
        f"# Columns\n\n{_table(('Column', 'Unit', 'Meaning'), rows)}\nRows can be added up by {keys}.\n\n"
        "## Named counters\n\nRows of the table `counters`, which meters of the source `nfacct` fill; see "
        f"[counters](counters.md).\n\n{_table(('Column', 'Unit', 'Meaning'), named)}"
    )


def errors_page() -> str:
    """Every error, as the tree that it is, and what each means."""
    found = [
        (f"`{name}`", " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()))
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.NetledgerError)
    ]
    silent = [name for name, meaning in found if not meaning]
    if silent:
        raise ValueError(f"{', '.join(silent)}: no docstring")
    return f"# Errors\n\n{_fenced(errors.__doc__ or '')}\n{_table(('Error', 'Meaning'), found)}"


def _fenced(docstring: str) -> str:
    """A docstring whose indented drawing becomes a code block."""
    parts = []
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        drawn = paragraph.startswith("    ")
        parts.append(f"```\n{textwrap.dedent(paragraph)}\n```\n" if drawn else paragraph.replace("``", "`") + "\n")
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _object(value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r}: no object")
    return value


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


if __name__ == "__main__":
    for file_name, content in pages().items():
        (FOLDER / file_name).write_text(content, encoding="utf-8")
