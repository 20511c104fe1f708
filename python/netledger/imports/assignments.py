"""A CSV of whose addresses are, or were, as facts. All of it is read before anything is said of it."""

import csv
import functools
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import ASSIGN, Fact, Kind, Target, given_subject
from netledger.durable import cause_of
from netledger.errors import FactError, OldFileError, UsageError

_TARGET: Final = "target"
_SUBJECT: Final = "subject"
_FROM: Final = "from"
_TO: Final = "to"
_MAC: Final = "mac"
_DETAIL: Final = "detail"
_NAMES: Final = {
    "address": _TARGET, "target": _TARGET, "subject": _SUBJECT, "from": _FROM, "valid_from": _FROM, "to": _TO,
    "valid_to": _TO, "mac": _MAC, "detail": _DETAIL,
}  # fmt: skip
"""What a column may be called, and what it is."""
_PASSED_OVER: Final = frozenset(("id", "source", "learnt_at"))
_IN_ORDER: Final = (_TARGET, _SUBJECT, _FROM, _TO)
_STEP: Final = 5000
_TIMES_KEPT: Final = 65_536

Progress = Callable[[str, int, int], None]
ReadTime = Callable[[str, str], int]
"""Gives the moment that a text means, UTC nanoseconds; called with the name of the column and the text."""


@final
@dataclass(frozen=True, slots=True)
class Mistake:
    """A line that is wrong.

    Attributes:
        line: its number, from 1.
        cause: why.
        hint: how to mend it, or None.
    """

    line: int
    cause: str
    hint: str | None


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What a file says.

    Attributes:
        facts: in the order in which they begin.
        mistakes: lines that are wrong, in their order. With any of them nothing of the file is to be believed.
    """

    facts: Sequence[Fact]
    mistakes: Sequence[Mistake]


class _LineError(Exception):
    """A line is wrong, for a reason that no part of it has by itself."""

    def __init__(self, cause: str, hint: str | None = None) -> None:
        super().__init__(cause)
        self.hint = hint


def read(path: Path, *, default_from_ns: int, read_time: ReadTime, progress: Progress) -> Found:
    """The facts of a file; lines that do not say since when begin at ``default_from_ns``.

    Its first line names the columns, or is the first of address, subject, from and to in this order. A line without a
    subject says that the address is nobody's. 100,000 lines take seconds.

    Raises:
        OldFileError: it cannot be read, or its columns are not known.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise OldFileError(str(path), "read", cause_of(error)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Found((), (Mistake(line, "not UTF-8", None),))
    return _Reading(path, default_from_ns, functools.lru_cache(_TIMES_KEPT)(read_time)).all(text, progress)


@final
class _Reading:
    def __init__(self, path: Path, default_from_ns: int, read_time: ReadTime) -> None:
        self._path = path
        self._default_from_ns = default_from_ns
        self._read_time = read_time
        self._places: Mapping[str, int] = {}
        self._width = 0
        self._said: dict[tuple[Target, int], tuple[int, Fact]] = {}

    def all(self, text: str, progress: Progress) -> Found:
        lines = text.count("\n")
        facts: list[Fact] = []
        mistakes: list[Mistake] = []
        for line, cells in self._rows(text, mistakes):
            if line % _STEP == 0:
                progress(f"lines of {self._path.name}", line, lines)
            try:
                facts.append(self._fact(line, cells))
            except (FactError, UsageError, _LineError) as error:
                mistakes.append(Mistake(line, str(error), error.hint))
        # The lines of a file are known at once: none is a correction of another. Who comes later has it from then on.
        facts.sort(key=lambda fact: fact.valid_from_ns)
        return Found(facts, sorted(mistakes, key=lambda one: one.line))

    def _rows(self, text: str, mistakes: list[Mistake]) -> Iterator[tuple[int, list[str]]]:
        """The lines with something in them; the first one settles what the columns are."""
        # Before anything is understood: a quotation mark in a remark must not make remarks of what follows.
        lines = ("\n" if line.lstrip().startswith("#") else line for line in io.StringIO(text, newline=""))
        reader = csv.reader(lines, strict=True)
        while True:
            try:
                cells = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error as error:
                # What follows may be in the middle of something that was quoted.
                mistakes.append(Mistake(reader.line_num, str(error), None))
                return
            if not any(cells):
                continue
            if not self._places:
                if _is_heading(cells):
                    self._settle(cells)
                    continue
                self._places = {name: place for place, name in enumerate(_IN_ORDER)}
            yield reader.line_num, cells

    def _settle(self, cells: Sequence[str]) -> None:
        places: dict[str, int] = {}
        for place, cell in enumerate(cells):
            name = _NAMES.get(cell.lower())
            if name is None and cell.lower() not in _PASSED_OVER:
                hint = f"there are {', '.join(_NAMES)}; of a list also {', '.join(sorted(_PASSED_OVER))}"
                raise OldFileError(str(self._path), "read", f"nobody knows the column {cell!r}", hint)
            if name in places:
                raise OldFileError(str(self._path), "read", f"two columns say the {name}")
            if name is not None:
                places[name] = place
        for name, word in ((_TARGET, "address"), (_SUBJECT, "subject")):
            if name not in places:
                raise OldFileError(str(self._path), "read", f"no column is called {word}")
        self._places, self._width = places, len(cells)

    def _fact(self, line: int, cells: list[str]) -> Fact:
        if len(cells) > (self._width or len(_IN_ORDER)):
            raise _LineError("there are more values than columns")
        if len(cells) <= self._places[_SUBJECT]:
            hint = "values are divided by commas, as in 10.0.0.2,alice" if len(cells) == 1 else None
            raise _LineError("it ends before its subject; that it is nobody's is said by an empty one", hint)
        values = {name: cells[place] for name, place in self._places.items() if place < len(cells)}
        subject, start, end, mac = (values.get(name) or None for name in (_SUBJECT, _FROM, _TO, _MAC))
        fact = Fact(
            target=_target(values.get(_TARGET, "")),
            valid_from_ns=self._default_from_ns if start is None else self._read_time(_FROM, start),
            valid_to_ns=None if end is None else self._read_time(_TO, end),
            subject=None if subject is None else given_subject(subject),
            mac=None if mac is None else Target.mac(mac).value,
            source=ASSIGN,
            detail=_detail(values.get(_DETAIL, "")),
        )
        before, other = self._said.setdefault((fact.target, fact.valid_from_ns), (line, fact))
        if (other.subject, other.mac) != (fact.subject, fact.mac):
            raise _LineError(
                f"line {before} says of the same address and time that it is {other.subject or 'nobody'}'s"
            )
        return fact


def _detail(text: str) -> dict[str, str]:
    """What a list has printed of it."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _LineError("its detail is no JSON") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _LineError("its detail is no object of texts")
    return found


def _target(text: str) -> Target:
    target = Target.parse(text)
    if target.kind is Kind.INTERFACE and text != str(target):
        # Half a heading, or a column too few: in a file nobody looks at each word.
        words = "a heading has the words target (or address), subject, from, to"
        raise FactError(text, "", "this is no address", f"an interface is written {target}; {words}")
    return target


def _is_heading(cells: Sequence[str]) -> bool:
    return any(cell.lower() in _NAMES or cell.lower() in _PASSED_OVER for cell in cells)
