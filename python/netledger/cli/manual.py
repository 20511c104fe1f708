"""Manual pages in the language of man(7), made from the commands and from the configuration's shape themselves."""

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, get_args

from pydantic import BaseModel
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from netledger import __version__
from netledger.config import DEFAULT_PATH, Config, to_json

_Command: TypeAlias = TyperCommand | TyperGroup

_EXIT: Final = (
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "The command line or the configuration is wrong."),
    ("3", "Done, but not all of the numbers asked for are proven or complete."),
    ("4", "The store is not what was committed."),
)
_FILES: Final = (
    (str(DEFAULT_PATH), "The configuration; see netledger.toml(5)."),
    ("/var/lib/netledger", "The store: the ledger, and what is exported."),
    ("/run/netledger", "What is being counted. It outlives the process, and not the machine."),
)


def pages(root: object) -> dict[str, str]:
    """The pages by file name, such as ``netledger-report.1``.

    Raises:
        TypeError: ``root`` is no command.
    """
    made = {
        f"{words.replace(' ', '-')}.1": _command_page(words, command) for words, command in _walk("netledger", root)
    }
    return made | {"netledger.toml.5": _configuration_page()}


def _walk(words: str, command: object) -> Iterator[tuple[str, _Command]]:
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"command {words}: not a command")
    if command.hidden:
        return
    yield words, command
    if isinstance(command, TyperGroup):
        for name, inner in sorted(command.commands.items()):
            yield from _walk(f"{words} {name}", inner)


def _command_page(words: str, command: _Command) -> str:
    help_text = inspect.cleandoc(command.help or "")
    first, *more = help_text.split("\n\n")
    lines = [_title(words.replace(" ", "-"), 1, first), ".SH SYNOPSIS", _synopsis(words, command), ".SH DESCRIPTION"]
    lines += [f".PP\n{_text(paragraph)}" for paragraph in (first, *more)]
    if isinstance(command, TyperGroup):
        lines.append(".SH COMMANDS")
        lines += [
            _entry(_bold(f"{words} {name}"), _first_sentence(inner.help or ""))
            for name, inner in sorted(command.commands.items())
            if not inner.hidden
        ]
    lines += _parameters(command)
    lines.append(".SH EXIT STATUS")
    lines += [_entry(_bold(code), meaning) for code, meaning in _EXIT]
    lines.append(".SH FILES")
    lines += [_entry(_italic(path), meaning) for path, meaning in _FILES]
    lines += [".SH SEE ALSO", ".BR netledger (1),", ".BR netledger.toml (5)"]
    return "\n".join(lines) + "\n"


def _title(name: str, section: int, meaning: str) -> str:
    head = f'.TH "{name.upper()}" {section} "" "netledger {__version__}" "netledger"'
    return f"{head}\n.SH NAME\n{_text(name)} \\- {_text(_first_sentence(meaning).rstrip('.'))}"


def _synopsis(words: str, command: _Command) -> str:
    parts = [_bold(words)]
    if any(isinstance(one, TyperOption) and not one.hidden for one in command.params):
        parts.append("[options]")
    if isinstance(command, TyperGroup):
        parts.append(f"{_italic('command')} ...")
    for one in command.params:
        if isinstance(one, TyperArgument):
            name = _parameter_name(one)
            parts.append(name if one.required else f"[{name}]")
    return " ".join(parts)


def _parameters(command: _Command) -> Iterator[str]:
    """The sections ARGUMENTS and OPTIONS, as far as there are some."""
    for title, kind in (("ARGUMENTS", TyperArgument), ("OPTIONS", TyperOption)):
        found = [one for one in command.params if isinstance(one, kind) and not one.hidden]
        if found:
            yield f".SH {title}"
        for one in found:
            yield _entry(_parameter_name(one), one.help or "")


def _parameter_name(parameter: TyperArgument | TyperOption) -> str:
    value = (parameter.metavar or parameter.name or "").strip("[]")
    if isinstance(parameter, TyperArgument):
        return _italic(value.upper() + ("..." if parameter.nargs == -1 else ""))
    names = ", ".join(_bold(name) for name in (*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag or parameter.count else f"{names} {_italic(value.upper())}"


def _configuration_page() -> str:
    lines = [
        _title("netledger.toml", 5, "configuration of netledger"),
        ".SH DESCRIPTION",
        _text(
            f"TOML in {DEFAULT_PATH}, or in the file that --config names. Every key has a default, and an empty file "
            "is valid. `netledger config check` names every mistake with its line, `netledger config show` prints what "
            "is in effect."
        ),
    ]
    lines += _tables(Config, "", json.loads(to_json(Config())))
    lines += [".SH SEE ALSO", ".BR netledger\\-config (1),", ".BR netledger\\-run (1)"]
    return "\n".join(lines) + "\n"


def _tables(model: type[BaseModel], name: str, defaults: object) -> Iterator[str]:
    """A table of the file with its keys, then the tables in it."""
    yield f".SH {_text(f'[{name}]') if name else 'TOP OF THE FILE'}"
    yield _text(inspect.cleandoc(model.__doc__ or ""))
    known = defaults if isinstance(defaults, dict) else {}
    inner: list[tuple[type[BaseModel], str, object]] = []
    for field_name, field in model.model_fields.items():
        key = field.alias or field_name
        default = known.get(key)
        found = _model_in(field.annotation)
        if found is not None:
            part, is_named = found
            if is_named and isinstance(default, dict):
                default = next(iter(default.values()), None)
            inner.append((part, ".".join(word for word in (name, key, "NAME" if is_named else "") if word), default))
        # The host name is of the machine on which the page was made, and nothing of no length says anything.
        is_shown = found is None and key != "node" and default not in (None, [], "", "0d")
        yield _entry(_bold(key), f"{field.description or ''}{f' Default: {json.dumps(default)}.' if is_shown else ''}")
    for part, inner_name, below in inner:
        yield from _tables(part, inner_name, below)


def _model_in(annotation: object) -> tuple[type[BaseModel], bool] | None:
    """The table that a key leads to, and whether it is one of several that have names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found[0], getattr(annotation, "__origin__", None) is dict
    return None


def _entry(head: str, meaning: str) -> str:
    return f".TP\n{head}\n{_text(meaning)}"


def _first_sentence(text: str) -> str:
    line = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    return line.split(". ")[0].split(": ")[0].rstrip(".")


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_escaped(text)}\\fR"


def _text(text: str) -> str:
    """Running text; a line of it must not begin like a request."""
    escaped: Sequence[str] = [_escaped(line.strip()) for line in text.splitlines()]
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped)


def _escaped(text: str) -> str:
    # A plain hyphen and a plain backquote are typographic ones to troff, and cannot be typed back.
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("…", "...")
