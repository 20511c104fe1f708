"""One table out of many rounds, for a terminal and for the documentation."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["markdown", "spread", "text", "write_docs"]

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """``median (least-greatest)``; only the value where there is one."""
    if not values:
        return "-"
    median = f"{statistics.median(values):,.{digits}f}"
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return median if low == high else f"{median} ({low}-{high})"


def text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; the first one to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a Markdown table."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _machine() -> str:
    information = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in information if line.startswith("model name")]
    kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
    return f"{len(models)} x {models[0] if models else 'CPU'}, kernel {kernel}"


def write_docs(
    name: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> None:
    """Puts a table between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->`` of docs/performance.md.

    Raises:
        ValueError: the document has no such markers.
    """
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    before, found_start, rest = DOCUMENT.read_text().partition(start)
    _, found_end, after = rest.partition(end)
    if not found_start or not found_end:
        raise ValueError(f"{DOCUMENT}: {start} … {end}: not found")
    origin = f"`{command}`, {time.strftime('%Y-%m-%d', time.gmtime())}, {_machine()}."
    parts = [start, origin, markdown(head, rows), *notes, end]
    DOCUMENT.write_text(before + "\n\n".join(parts) + after)
