"""Just enough of Rust's grammar to look at code without its comments and texts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# In this order: what begins first wins, and nothing inside it is looked at.
_BLANKS = re.compile(
    r"""
      //[^\n]*
    | (?P<block> /\* )
    | b?r(?P<hashes>\#*)".*?"(?P=hashes)
    | b?"(?:\\.|[^"\\])*"
    | b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^'\\\n])'
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_FUNCTION = re.compile(r"\bfn\s+(?P<name>\w+)")


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a body; both line numbers count from 1."""

    name: str
    first_line: int
    last_line: int


def code_only(text: str) -> str:
    """The text with comments, strings and characters blanked; every line stays where it is."""
    parts: list[str] = []
    at = 0
    while (found := _BLANKS.search(text, at)) is not None:
        end = _block_end(text, found.start()) if found["block"] else found.end()
        # An identifier that ends in r or b before a quote is none of ours: `for"x"` does not occur in formatted code.
        parts.append(text[at : found.start()])
        parts.append(re.sub(r"[^\n]", " ", text[found.start() : end]))
        at = end
    parts.append(text[at:])
    return "".join(parts)


def functions(text: str) -> Iterator[Function]:
    """Every function that has a body, nested ones too."""
    code = code_only(text)
    for found in _FUNCTION.finditer(code):
        end = _body_end(code, found.end())
        if end is not None:
            yield Function(found["name"], 1 + code.count("\n", 0, found.start()), 1 + code.count("\n", 0, end))


def _block_end(text: str, start: int) -> int:
    """Behind the block comment that begins at ``start``; Rust nests them."""
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _body_end(code: str, at: int) -> int | None:
    """Where the brace that opens first behind ``at`` closes; None for a declaration without a body."""
    depth = 0
    brackets = 0
    for position in range(at, len(code)):
        character = code[position]
        if character in "([":
            brackets += 1
        elif character in ")]":
            brackets -= 1
        elif character == ";" and depth == 0 and brackets == 0:
            return None
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
    return None
