"""The rules of the house that no linter knows, as functions: a tree of files in, a list of offences out.

An offence reads ``path:line: what is wrong``. ``test_tidy.py`` runs all of them on this repository, and shows for each
that it catches what it is there for.
"""

import ast
import io
import os
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from tests import rust_text

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

_BUILT = frozenset((".git", ".venv", ".build", "target", "dist", "__pycache__", "artifacts", "corpus", "bin"))
_BUILT_ENDINGS = ("_cache", ".egg-info")
_CODE_SUFFIXES = frozenset((".py", ".pyi", ".rs", ".c", ".h", ".sh"))
_TEXT_SUFFIXES = _CODE_SUFFIXES | {".md", ".toml", ".service", ".in"}
_VAGUE = frozenset(("util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"))
# Put together here, so that this file does not contain what it looks for.
_UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
_NOQA = re.compile(r"#\s*(?:ruff:\s*)?noqa(?::\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?(?P<reason>.*)")
_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?:\[[\w,\s-]+\])?(?P<reason>.*)")
_WORD = re.compile(r"[A-Za-z]{3,}")
_RUST_EXCEPTION = re.compile(r"\b(?:allow|expect)\s*\((?P<inside>[^()]*)\)")
_RUST_ATTRIBUTE = re.compile(r"#!?\[[^\]]*\]")
_SOFT = re.compile(r"\|\|\s*(?:true|:)(?:\s|$)|^\s*set \+e|\bcontinue-on-error\b|--exit-zero|^\t@?-")
_LINE_REFERENCE = re.compile(r"\b[\w/-]+\.(?:pyi?|rs|c|h|sh):\d+|\blines? \d+|#L\d+")


class Tree:
    """The files of a repository that people write; what is built or recorded is left out."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def files(self) -> list[Path]:
        """Relative paths, sorted."""
        found: list[Path] = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _BUILT and not name.endswith(_BUILT_ENDINGS))
            found.extend((Path(folder) / name).relative_to(self.root) for name in names)
        return sorted(found)

    def text(self, path: Path) -> str:
        """The whole file."""
        return (self.root / path).read_text(encoding="utf-8")

    def with_suffix(self, *suffixes: str) -> Iterator[tuple[Path, str]]:
        """Files with one of the endings, and what they hold."""
        return ((path, self.text(path)) for path in self.files if path.suffix in suffixes)

    def python(self) -> Iterator[tuple[Path, str]]:
        """Modules, and programs without an ending that name python in their first line."""
        yield from self.with_suffix(".py")
        yield from self.scripts(b"python")

    def code(self) -> Iterator[tuple[Path, str]]:
        """Everything that runs."""
        yield from self.with_suffix(*_CODE_SUFFIXES)
        yield from self.scripts(b"")

    def scripts(self, interpreter: bytes) -> Iterator[tuple[Path, str]]:
        """Programs without an ending whose first line names the interpreter."""
        for path in self.files:
            if not path.suffix:
                with (self.root / path).open("rb") as file:
                    first = file.readline(200)
                if first.startswith(b"#!") and interpreter in first:
                    yield path, self.text(path)


def long_files(tree: Tree) -> list[str]:
    """A file that does not fit into a head."""
    counted = ((path, text.count("\n")) for path, text in tree.code())
    return [f"{path}:1: {lines} lines, at most {FILE_LINES_MAX}" for path, lines in counted if lines > FILE_LINES_MAX]


def long_functions(tree: Tree) -> list[str]:
    """A function that does not fit onto a screen."""
    spans = [
        (path, node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for path, text in tree.python()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    spans += [
        (path, function.first_line, function.name, function.last_line - function.first_line + 1)
        for path, text in tree.with_suffix(".rs")
        for function in rust_text.functions(text)
    ]
    return [
        f"{path}:{line}: {name}: {length} lines, at most {FUNCTION_LINES_MAX}"
        for path, line, name, length in spans
        if length > FUNCTION_LINES_MAX
    ]


def vague_names(tree: Tree) -> list[str]:
    """A name that says nothing about what is inside."""
    return [
        f"{path}:1: named after nothing that it does"
        for path in tree.files
        if path.suffix in _CODE_SUFFIXES and _VAGUE.intersection((*path.parent.parts, path.stem))
    ]


def sleeping_tests(tree: Tree) -> list[str]:
    """A test that hopes instead of waiting for a condition."""
    offences = []
    for path, text in tree.python():
        if path.parts[0] == "tests":
            offences += [f"{path}:{line}: sleeps" for line in _sleeps(ast.parse(text))]
    for path, text in tree.with_suffix(".rs"):
        code = rust_text.code_only(text)
        tests_from = 0 if "tests" in path.parts or path.stem == "tests" else code.find("#[cfg(test)]")
        if tests_from >= 0:
            offences += [
                f"{path}:{_line(code, found.start())}: sleeps"
                for found in re.finditer(r"\bthread::sleep\b|\bsleep\(", code)
                if found.start() >= tests_from
            ]
    return offences


def _sleeps(module: ast.Module) -> Iterator[int]:
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr="sleep"):
                yield node.lineno
            case ast.ImportFrom(module="time" | "asyncio", names=names) if any(name.name == "sleep" for name in names):
                yield node.lineno


def unsafe_outside_sys(tree: Tree) -> list[str]:
    """Rust's ``unsafe`` outside the one room for system calls."""
    room = Path("crates/core/src/sys")
    return [
        f"{path}:{_line(code, found.start())}: unsafe outside {room}"
        for path, text in tree.with_suffix(".rs")
        if room not in path.parents and path != room.with_suffix(".rs")
        for code in [rust_text.code_only(text)]
        for found in re.finditer(r"\bunsafe\b", code)
    ]


def silent_modules(tree: Tree) -> list[str]:
    """A Python file that does not say what it is for."""
    return [f"{path}:1: no docstring" for path, text in tree.python() if not ast.get_docstring(ast.parse(text))]


def unexplained_exceptions(tree: Tree) -> list[str]:
    """A lint rule switched off without a word why."""
    offences = []
    for path, text in (*tree.python(), *tree.with_suffix(".pyi")):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                exceptions = (_NOQA.search(token.string), _TYPE_IGNORE.search(token.string))
                if any(found is not None and not _WORD.search(found["reason"]) for found in exceptions):
                    offences.append(f"{path}:{token.start[0]}: exception without its reason")
    for path, text in tree.with_suffix(".rs"):
        code = rust_text.code_only(text)
        offences.extend(
            f"{path}:{_line(code, attribute.start())}: exception without its reason"
            for attribute in _RUST_ATTRIBUTE.finditer(code)
            for found in _RUST_EXCEPTION.finditer(attribute.group())
            if "reason" not in found["inside"]
        )
    return offences


def unfinished_work(tree: Tree) -> list[str]:
    """A promise to do it later."""
    texts = [*tree.with_suffix(*_TEXT_SUFFIXES), *tree.scripts(b"")]
    return [
        f"{path}:{_line(text, found.start())}: unfinished: {found.group()}"
        for path, text in texts
        for found in _UNFINISHED.finditer(text)
    ]


def line_references(tree: Tree) -> list[str]:
    """A page that names a line of a file, which is another one after the next change. Printed output is left out."""
    offences = []
    for path, text in tree.with_suffix(".md"):
        fenced = False
        for number, line in enumerate(text.splitlines(), start=1):
            if line.lstrip().startswith(("```", "~~~")):
                fenced = not fenced
            elif not fenced and _LINE_REFERENCE.search(line):
                offences.append(f"{path}:{number}: names a line; name the function")
    return offences


def soft_steps(tree: Tree) -> list[str]:
    """A step of the build or of the checks whose failure goes unnoticed."""
    paths = [path for path in tree.files if path.name == "Makefile" or path.parts[0] == ".ci"]
    return [
        f"{path}:{number}: fails softly"
        for path in paths
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if _SOFT.search(line)
    ]


def loose_tests(tree: Tree) -> list[str]:
    """A folder of tests that is no package: two files of one name would hide each other."""
    folders = {path.parent for path in tree.files if path.parts[0] == "tests" and path.suffix == ".py"}
    return [
        f"{folder}/__init__.py:1: missing" for folder in sorted(folders) if folder / "__init__.py" not in tree.files
    ]


def _line(text: str, position: int) -> int:
    return 1 + text.count("\n", 0, position)


RULES: tuple[Callable[[Tree], list[str]], ...] = (
    long_files,
    long_functions,
    vague_names,
    sleeping_tests,
    unsafe_outside_sys,
    silent_modules,
    unexplained_exceptions,
    unfinished_work,
    line_references,
    soft_steps,
    loose_tests,
)
