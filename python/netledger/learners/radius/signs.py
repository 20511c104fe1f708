"""The last signs of life of all sessions, in a file: what a restart needs and no ledger has to keep for ever.

Interim updates change nothing of whose an address is, so they become no facts. But when a session is given up later,
its end is its last sign of life, and that must not be forgotten because the program was started again in between.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from netledger.durable import cause_of, write_whole
from netledger.errors import LearnerError
from netledger.learners.radius.request import Usage
from netledger.learners.radius.session import Session, Sign

_VERSION: Final = 1
_FILE_BYTES_MAX: Final = 256 << 20
_USAGE_NUMBERS: Final = 5


def write(path: Path, sessions: Iterable[Session]) -> None:
    """Writes the signs of life of open sessions. Blocks for the disk.

    Raises:
        LearnerError: the disk is full, broken or refuses; the file is as it was.
    """
    told = {session.name: _numbers(session.sign) for session in sessions}

    def fill(file: BinaryIO) -> None:
        file.write(json.dumps({"version": _VERSION, "signs": told}, separators=(",", ":")).encode())

    try:
        write_whole(path, fill)
    except OSError as error:
        raise LearnerError(str(path), "write", cause_of(error)) from error


def read(path: Path) -> dict[str, Sign]:
    """What was written last; nothing where there is no such file, or where it is damaged: it only makes ends better."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            return {}
        found = json.loads(path.read_bytes())
        if found["version"] != _VERSION:
            return {}
        return _signs(found["signs"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _numbers(sign: Sign) -> list[int]:
    used = sign.usage
    if used is None:
        return [sign.seen_ns]
    octets = (used.input_octets, used.output_octets, used.input_packets, used.output_packets)
    return [sign.seen_ns, used.seconds, *octets]


def _signs(told: Mapping[str, list[object]]) -> dict[str, Sign]:
    signs = {}
    for name, found in told.items():
        numbers = [number for number in found if isinstance(number, int) and number >= 0]
        if len(numbers) != len(found) or len(numbers) not in {1, 1 + _USAGE_NUMBERS}:
            raise ValueError(name)
        signs[name] = Sign(numbers[0], Usage(*numbers[1:]) if len(numbers) > 1 else None)
    return signs
