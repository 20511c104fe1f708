"""What tells that a file is a log of nacctd."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from netledger.imports.nacctd.log import is_log
from netledger.imports.nacctd.wish import NAME


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogKind:
    """A program that writes a log of lines, each with its time.

    Attributes:
        name: of the program.
        patterns: what its files in a directory are called, as shells match names.
        is_it: whether a file is one of its, by its first bytes.
    """

    name: str
    patterns: tuple[str, ...]
    is_it: Callable[[bytes], bool]


KIND: Final = LogKind(
    name=NAME,
    # As logrotate leaves them. Dumps beside them hold what may come into the log yet.
    patterns=(
        "*.log", "*.log.[0-9]", "*.log.[0-9][0-9]", "*.log.[0-9][0-9][0-9]", "*.log-[0-9]*",
        "*.log.[0-9].gz", "*.log.[0-9][0-9].gz", "*.log.[0-9][0-9][0-9].gz", "*.log.gz",
    ),
    is_it=is_log,
)  # fmt: skip
