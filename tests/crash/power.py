"""Cuts the power under a writer and a compactor, again and again; a program, see :mod:`tests.crash.disk`.

    python -m tests.crash.power DIRECTORY SEED CUTS [LIBRARY]

LIBRARY is preloaded into the writer and the compactor, such as one that makes ``fsync`` do nothing.
"""

import json
import os
import random
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from netledger.errors import LedgerError
from tests.crash.disk import Disk
from tests.crash.lives import Lives
from tests.crash.seeded import judge, unknown_files
from tests.kernel.lab import wait_for
from tests.unit.store import opened

MEBIBYTES = 64


@dataclass
class Cuts:
    """What came of it. ``refused`` says how often a life noticed."""

    cuts: int = 0
    acknowledged: int = 0
    compactions: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


def cut_again_and_again(directory: Path, seed: int, cuts: int) -> Cuts:
    """Stops after the first cut that took something away."""
    chance, pause, result = random.Random(seed), threading.Event(), Cuts()  # noqa: S311  (moments, not secrets)
    with Disk(directory, mebibytes=MEBIBYTES) as disk, Lives(disk.path / "store", directory / "told", seed) as lives:
        store = disk.path / "store"
        for number in range(cuts):
            lives.start("writer")
            # The first cut may come before there is a store at all.
            if number:
                goal = lives.told.acknowledged() + chance.randint(1, 60)
                lives.start("compactor")
                wait_for(lambda goal=goal: lives.told.acknowledged() >= goal, 30, "commits")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            pause.wait(chance.uniform(0.0, 0.3))
            assert lives.told.troubles() + lives.told.refusals() == [], "before the power was cut"
            disk.cut_power()
            for role in sorted(lives.roles()):
                lives.kill(role)
            result.cuts += 1
            result.refused += len(lives.told.refusals())
            lives.told.forget_refusals()
            disk.power_on()
            try:
                with opened(store):
                    left = unknown_files(store)
                verdict = judge(store, seed, lives.told.acknowledged())
            except LedgerError as error:
                result.lost.append(f"the store cannot be read: {error}")
                break
            result.lost, result.double = verdict.lost, verdict.double
            result.strange = [*verdict.strange, *left, *lives.told.troubles()]
            if verdict.problems or result.strange:
                break
        result.acknowledged = lives.told.acknowledged()
        result.compactions = lives.told.count("compactions")
    return result


def cuts_of(answer: Mapping[str, object]) -> Cuts:
    """What the program has said."""
    cuts = Cuts()
    for name, value in answer.items():
        assert isinstance(value, type(getattr(cuts, name)))
        setattr(cuts, name, value)
    return cuts


def main(directory: str, seed: str, cuts: str, library: str = "") -> None:
    if library:
        # The lives come out of a process that is not started yet.
        os.environ["LD_PRELOAD"] = library
    sys.stdout.write(json.dumps(asdict(cut_again_and_again(Path(directory), int(seed), int(cuts)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
