"""What is wrong with a configuration file: all of it, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from netledger.errors import NetledgerError

Path = tuple[str | int, ...]
"""Where a value stands, as keys and list positions: ``("meters", "lan", "local", 0)``."""


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        path: the key it is about; empty for the file as a whole.
        line: where the key stands, from 1, or None when no line can be named.
        cause: what is wrong.
        hint: how to mend it, or None.
    """

    path: Path
    line: int | None
    cause: str
    hint: str | None = None

    def at(self, file: str) -> str:
        """The mistake as one line, without its hint: ``FILE:LINE: KEY: CAUSE``."""
        place = file if self.line is None else f"{file}:{self.line}"
        return ": ".join(part for part in (place, dotted(self.path), self.cause) if part)


@final
class ConfigError(NetledgerError):
    """The configuration is refused. Prints as one line for each mistake, each hint on a line of its own.

    Attributes:
        file: the file's name.
        problems: the mistakes, in the file's order.
    """

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, "", f"{len(problems)} mistakes")
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def to_json(self) -> list[dict[str, str | int | None]]:
        """The mistakes as JSON values: ``file``, ``line``, ``key``, ``problem``, ``hint``; None where there is none."""
        return [
            {
                "file": self.file,
                "line": problem.line,
                "key": dotted(problem.path) or None,
                "problem": problem.cause,
                "hint": problem.hint,
            }
            for problem in self.problems
        ]

    def _lines(self) -> list[str]:
        lines = []
        for problem in self.problems:
            lines.append(problem.at(self.file))
            if problem.hint is not None:
                lines.append(f"hint: {problem.hint}")
        return lines


def dotted(path: Path) -> str:
    """A path as people write it: ``meters.lan.local[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
