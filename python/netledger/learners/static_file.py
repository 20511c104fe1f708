"""The file of the learner `static`, read strictly: one mistake, and nothing of it counts."""

import csv
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import FOREVER_NS, Target, given_subject
from netledger.errors import FactError, LearnerError

COLUMNS: Final = ("target", "subject", "from", "to")
"""Of the CSV form; the last two may be missing."""

_BYTES_MAX: Final = 64 << 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_HINT: Final = "as in 2026-11-20T10:00:00Z; with Z or an offset, for without one it is another time elsewhere"
_HEADER_HINT: Final = f"the first line names the columns: {','.join(COLUMNS)}"
_TOML_HINT: Final = 'as in "10.0.0.2" = "alice", or "10.0.0.2" = { subject = "alice", from = 2026-11-20T10:00:00Z }'


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """What one line says.

    Attributes:
        target: what.
        subject: whose.
        from_ns: since when, UTC nanoseconds; None is from when the line is read first.
        to_ns: until when; None is until further notice.
    """

    target: Target
    subject: str
    from_ns: int | None = None
    to_ns: int | None = None


def read(path: Path, *, now_ns: int) -> list[Assigned]:
    """All lines of a file: TOML when its name ends so, else CSV. ``now_ns`` is when lines without a beginning begin.

    Raises:
        LearnerError: it cannot be read, or there is a mistake in it; the first one is told.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise LearnerError(str(path), "read", (error.strerror or str(error)).lower()) from error
    if len(raw) > _BYTES_MAX:
        raise LearnerError(str(path), "read", f"it has more than {_BYTES_MAX} bytes")
    return parsed(raw, path, now_ns=now_ns)


def parsed(raw: bytes, path: Path, *, now_ns: int) -> list[Assigned]:
    """The same of what stands in the file; ``path`` tells the form, and is named in messages.

    Raises:
        LearnerError: as :func:`read`.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LearnerError(f"{path}:{raw.count(10, 0, error.start) + 1}", "", "not UTF-8") from error
    places = list(_of_toml(text, path) if path.suffix == ".toml" else _of_csv(text, path))
    _check_overlaps(places, now_ns)
    return [line for _, line in places]


def _of_csv(text: str, path: Path) -> Iterator[tuple[str, Assigned]]:
    # A line that begins with # says nothing; it keeps its number.
    lines = ["" if line.startswith("#") else line for line in text.splitlines(keepends=True)]
    reader = csv.reader(lines, strict=True)
    header: Sequence[str] | None = None
    try:
        for cells in reader:
            place = f"{path}:{reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header([cell.strip() for cell in cells], place)
            elif len(cells) > len(header):
                raise LearnerError(place, "", f"it has {len(cells)} cells, and there are {len(header)} columns")
            else:
                yield place, _line(dict(zip(header, (cell.strip() or None for cell in cells), strict=False)), place)
    except csv.Error as error:
        raise LearnerError(f"{path}:{reader.line_num}", "", str(error)) from error


def _header(cells: Sequence[str], place: str) -> Sequence[str]:
    unknown = [cell for cell in cells if cell not in COLUMNS]
    if unknown or len(set(cells)) < len(cells) or not {"target", "subject"} <= set(cells):
        raise LearnerError(place, "", "these are not the columns of assignments", _HEADER_HINT)
    return cells


def _of_toml(text: str, path: Path) -> Iterator[tuple[str, Assigned]]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LearnerError(str(path), "", f"no TOML: {error}", _TOML_HINT) from error
    for key, value in document.items():
        place = f"{path}: {key}"
        for one in value if isinstance(value, list) else [value]:
            table = {"subject": one} if isinstance(one, str) else one
            if not isinstance(table, dict) or not set(table) <= set(COLUMNS[1:]):
                raise LearnerError(place, "", "this says nobody's", _TOML_HINT)
            yield place, _line({"target": key, **table}, place)


def _line(cells: Mapping[str, object], place: str) -> Assigned:
    target, subject = cells.get("target"), cells.get("subject")
    if not isinstance(target, str) or not isinstance(subject, str):
        raise LearnerError(place, "", "it needs a target and a subject")
    from_ns, to_ns = _time(cells.get("from"), place), _time(cells.get("to"), place)
    if from_ns is not None and to_ns is not None and to_ns <= from_ns:
        raise LearnerError(place, "", "it ends before it begins", "an end is later than its beginning")
    try:
        return Assigned(target=Target.parse(target), subject=given_subject(subject), from_ns=from_ns, to_ns=to_ns)
    except FactError as error:
        raise LearnerError(place, "", str(error), error.hint) from error


def _time(value: object, place: str) -> int | None:
    if value is None:
        return None
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise LearnerError(place, "", f"{value} is no time", _TIME_HINT) from error
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise LearnerError(place, "", f"{value} is no time", _TIME_HINT)
    time_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if not 0 <= time_ns < FOREVER_NS:
        raise LearnerError(place, "", f"{value} is no time that can be written down")
    return time_ns


def _check_overlaps(places: Sequence[tuple[str, Assigned]], now_ns: int) -> None:
    """Refuses two lines that give one thing to somebody at the same time: no order of lines decides about money."""
    by_target: dict[Target, list[tuple[int, int, str]]] = {}
    for place, line in places:
        # Without a beginning it is of now and later, and of nothing when its end has passed.
        start_ns = now_ns if line.from_ns is None else line.from_ns
        end_ns = FOREVER_NS if line.to_ns is None else line.to_ns
        if start_ns < end_ns:
            by_target.setdefault(line.target, []).append((start_ns, end_ns, place))
    for target, spans in by_target.items():
        spans.sort()
        for (_, end_ns, place), (start_ns, _, other) in pairwise(spans):
            if start_ns < end_ns:
                where = place.rpartition(os.sep)[2]
                raise LearnerError(other, "", f"{target} is given to somebody at the same time in {where}")
