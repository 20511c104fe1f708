"""What is found where no daemon runs: what the next start will commit, and what was committed last."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from netledger.config import Config
from netledger.errors import LedgerError
from netledger.ledger.reader import Newest, Reader
from netledger.sources.bpf_absent import CountsOn, counts_on


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """What a daemon has left behind.

    Attributes:
        generations: how many generations of a meter lie in the runtime directory; those that have some.
        counting: the meters that the kernel counts on for.
        newest: the newest interval of each configured meter that has one.
        store_error: why the store could not be read, or None.
    """

    generations: dict[str, int]
    counting: tuple[CountsOn, ...]
    newest: dict[str, Newest]
    store_error: LedgerError | None


def look(config: Config) -> Absent:
    """Reads both directories, and asks the kernel what it counts on. What this user may not see is not there."""
    reader = Reader(Path(config.store))
    newest: dict[str, Newest] = {}
    error: LedgerError | None = None
    try:
        if reader.version():
            found = {name: reader.newest(node=config.node, meter=name) for name in config.meters}
            newest = {name: one for name, one in found.items() if one is not None}
    except LedgerError as refused:
        error = refused
    runtime = Path(config.runtime)
    generations = _generations(runtime)
    names = sorted({*config.meters, *generations})
    counting = [one for name in names if (one := counts_on(runtime, Path(config.store), name)) is not None]
    return Absent(generations=generations, counting=tuple(counting), newest=newest, store_error=error)


def _generations(runtime: Path) -> dict[str, int]:
    try:
        counted = {path.name: len(list(path.glob("gen-*.json"))) for path in runtime.iterdir() if path.is_dir()}
    except OSError:  # not there, or not for this user
        return {}
    return {name: number for name, number in sorted(counted.items()) if number}
