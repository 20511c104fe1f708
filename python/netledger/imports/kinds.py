"""Which programs' files can be read, and which files there are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, final

from netledger.errors import OldFileError, UsageError
from netledger.imports import go_nflog_acctd
from netledger.imports.base import Kind, place
from netledger.imports.nacctd import kind as nacctd
from netledger.imports.nacctd.kind import LogKind
from netledger.reports.harmless import harmless

KINDS: Final[dict[str, Kind | LogKind]] = {one.name: one for one in (go_nflog_acctd.KIND, nacctd.KIND)}
"""By the name of their program."""

_HEAD_BYTES: Final = 4096
_TEMPORARY: Final = ".tmp"


@final
@dataclass(frozen=True, slots=True)
class Found:
    """Files to be read.

    Attributes:
        kind: whose they are.
        files: in the order of their names.
        unfinished: how many more there are that were never finished.
    """

    kind: Kind | LogKind
    files: Sequence[Path]
    unfinished: int


def split(words: Sequence[str]) -> tuple[Kind | LogKind | None, list[Path]]:
    """``[KIND] PATH…`` in its parts.

    Raises:
        UsageError: there is no path.
    """
    kind = KINDS.get(words[0])
    paths = [Path(word) for word in words[1 if kind else 0 :]]
    if not paths:
        raise UsageError(
            f"import {words[0]}", "", "of which files?", f"netledger import {words[0]} /var/log/accounting"
        )
    return kind, paths


def find(kind: Kind | LogKind | None, paths: Sequence[Path]) -> Found:
    """The files of these paths: those given, and of a directory those that the kind calls so, not below it.

    Without a kind it is that of the first file.

    Raises:
        OldFileError: a path is not there, cannot be read, or nobody knows what it is.
    """
    files: list[Path] = []
    unfinished = 0
    for path in paths:
        if not path.is_dir():
            files.append(path)
            kind = kind or kind_of(path)
            continue
        try:
            inside = [one for one in sorted(path.iterdir()) if one.is_file()]
        except OSError as error:
            raise _unreadable(path, error) from error
        wanted = [kind.patterns] if kind else [one.patterns for one in KINDS.values()]
        taken = _called(inside, [pattern for patterns in wanted for pattern in patterns])
        if not taken:
            names = " or ".join(patterns[0] for patterns in wanted)
            raise OldFileError(harmless(str(path)), "import", f"no file {names} in there")
        kind = kind or kind_of(taken[0])
        files += _called(taken, kind.patterns)
        unfinished += sum(one.suffix == _TEMPORARY for one in inside)
    assert kind is not None  # noqa: S101  # there is a path, and each has told it
    return Found(kind, files, unfinished)


def _called(files: Iterable[Path], patterns: Sequence[str]) -> list[Path]:
    return [one for one in files if any(fnmatch(one.name, pattern) for pattern in patterns)]


def kind_of(path: Path) -> Kind | LogKind:
    """Whose file it is, by its first bytes.

    Raises:
        OldFileError: nobody's, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    for kind in KINDS.values():
        if kind.is_it(head):
            return kind
    known: Iterable[str] = KINDS
    raise OldFileError(place(path, 1), "", "not a file of any program known here", f"there are {', '.join(known)}")


def _unreadable(path: Path, error: OSError) -> OldFileError:
    # A word without a slash that is no file may have been meant for a kind.
    hint = None if path.name != str(path) or path.exists() else f"as a kind of file there is {', '.join(KINDS)}"
    return OldFileError(harmless(str(path)), "open", (error.strerror or str(error)).lower(), hint)
