"""Who counted for a meter last, and where: what is still open is finished by the same, before another begins.

A file ``counted`` in the runtime directory of a meter names the mechanism and the network namespace. It is written
before a source is opened, and after what another had left was finished: so at any moment only the one that it names can
have left something.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol, final, runtime_checkable

from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.sources.base import Closed, Past, Source
from netledger.sources.lasting import replace_file
from netledger.sources.ruleset import SIDES
from netledger.sources.state import boot_id

UNKNOWN: Final = 0
_FILE: Final = "counted"


@final
@dataclass(frozen=True, slots=True)
class Counted:
    """Who counts for a meter.

    Attributes:
        mechanism: the source.
        namespace: inode of the network namespace; 0 where that is not known.
        boot_id: of the kernel.
    """

    mechanism: str
    namespace: int
    boot_id: str

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the kernel that counted still runs."""
        return self.boot_id == boot_id()


@runtime_checkable
class Finishing(Protocol):
    """A source that can finish what a dead process left without counting anew."""

    def finish(self, now: Moment, past: Past) -> list[Closed]:
        """Closes what a dead process left open, and takes out of the kernel what is still there of it.

        Raises:
            SourceError: it cannot be read yet; it stays as it is.
        """


def here(mechanism: str, namespace: int) -> Counted:
    """What is to be noted for one that begins on this kernel."""
    return Counted(mechanism, namespace, boot_id())


def noted(directory: Path) -> Counted | None:
    """What is noted in the runtime directory of a meter; None where nothing was left.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        found = json.loads((directory / _FILE).read_bytes())
        return Counted(str(found["mechanism"]), int(found["namespace"]), str(found["boot_id"]))
    except FileNotFoundError:
        # Of a version that wrote no such file, and that knew neither bpf nor another namespace.
        is_nflog = any(side in SIDES for side in _open_sides(directory))
        return Counted("nflog", UNKNOWN, boot_id()) if is_nflog else None
    except OSError as error:
        raise _failed(directory, "read", error) from error
    except (ValueError, KeyError, TypeError):
        # It is replaced at once or not at all: somebody else has written it. The facts tell what they can.
        return None


def is_anything_open(directory: Path) -> bool:
    """Whether a generation lies in the runtime directory of a meter that was not closed."""
    return bool(_open_sides(directory))


def note(directory: Path, counted: Counted) -> None:
    """Writes it down.

    Raises:
        SourceError: the file cannot be written.
    """
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        replace_file(directory / _FILE, json.dumps(asdict(counted)) + "\n", lasting=False)
    except OSError as error:
        raise _failed(directory, "write", error) from error


def finish(source: Source, now: Moment, past: Past) -> list[Closed]:
    """Lets a source finish what it left. One that cannot do only that counts for a moment, and is closed."""
    if isinstance(source, Finishing):
        return source.finish(now, past)
    return [*source.open(now, past), *source.close(now=now, keep_rules=False)]


def _open_sides(directory: Path) -> list[str]:
    """The side of each open generation; it is empty for what has none. Who opens the meter tells what is damaged."""
    found = []
    for path in sorted(directory.glob("gen-*.json")):
        try:
            facts = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and facts.get("closing") is None:
            found.append(str(facts.get("side", "")))
    return found


def _failed(directory: Path, operation: str, error: OSError) -> SourceError:
    return SourceError(str(error.filename or directory / _FILE), operation, (error.strerror or str(error)).lower())
