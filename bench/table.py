"""One table out of many rounds, for a terminal and for the documentation."""

import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import BenchError

__all__ = ["Report", "markdown", "spread", "text"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A table with its notes, and its place in docs/performance.md."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]

    def show(self, *, write_docs: bool) -> None:
        """Prints it; ``write_docs`` also puts it between the markers of the document.

        Raises:
            BenchError: the document has no such markers.
        """
        print("\n".join([text(self.head, self.rows), *self.notes]))
        if not write_docs:
            return
        start, end = f"<!-- bench:{self.name} -->", f"<!-- /bench:{self.name} -->"
        before, found_start, rest = DOCUMENT.read_text().partition(start)
        _, found_end, after = rest.partition(end)
        if not found_start or not found_end:
            raise BenchError(f"{DOCUMENT}: {start} and {end}: not found")
        given = [argument for argument in sys.argv[1:] if argument != "--write-docs"]
        # Where somebody's disk is says nothing to anybody else.
        arguments = ["DIR" if Path(argument).is_dir() else argument for argument in given]
        command = shlex.join([f"bench/{Path(sys.argv[0]).name}", *arguments])
        origin = f"`{command}`, {time.strftime('%Y-%m-%d', time.gmtime())}, {_machine()}."
        parts = [start, origin, markdown(self.head, self.rows), *self.notes, end]
        DOCUMENT.write_text(before + "\n\n".join(parts) + after)
