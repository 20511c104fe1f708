"""Each event that the program can log is on the page of `run`, with its level, and the page names no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "netledger"
LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}
ROW = re.compile(r"^\| (?P<events>`[a-z_`, ]+`) \| (?P<level>info|warning|error) \| ", re.MULTILINE)


def logged(source: str) -> Iterator[tuple[str, str]]:
    """Event and level of each call in a Python text that logs."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=name)) if name in LEVELS:
                yield _event(node), LEVELS[name]
            case ast.Call(func=ast.Name(id="_log_error")):
                yield _event(node), "error"
            case _:
                pass


def _event(call: ast.Call) -> str:
    """The first word of what is logged.

    Raises:
        ValueError: it is made up only when the program runs, so that no page can name it.
    """
    match call.args:
        case [ast.Constant(value=str(text)), *_]:
            return text.split(" ")[0]
        # The one helper that logs for others: its callers name the event.
        case [ast.Name(id="event"), *_]:
            return ""
        case _:
            raise ValueError(ast.unparse(call))


def listed(page: str) -> Iterator[tuple[str, str]]:
    """Event and level of each row of the table."""
    for row in ROW.finditer(page):
        for event in re.findall(r"`([a-z_]+)`", row["events"]):
            yield event, row["level"]


def test_the_page_lists_the_events_that_the_program_logs() -> None:
    found: set[tuple[str, str]] = set()
    for path in PACKAGE.rglob("*.py"):
        # The commands of other programs write their own lines, not events.
        if "compat" not in path.relative_to(PACKAGE).parts:
            found.update(logged(path.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "reference" / "run.md").read_text(encoding="utf-8")
    assert sorted(listed(page)) == sorted(pair for pair in found if pair[0])


def test_each_way_to_log_is_seen() -> None:
    text = """
_log.info("a", extra={})
log.warning("b meter=%s", name)
_log.exception("c")
_log_error("d", error)
def _log_error(event): _log.error(event)
"""
    assert sorted(logged(text)) == [("", "error"), ("a", "info"), ("b", "warning"), ("c", "error"), ("d", "error")]
