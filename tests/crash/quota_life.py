"""One life of who keeps quotas: it looks once, runs what is to be run, and dies at a step if it comes to that.

python -m tests.crash.quota_life STORE RUNTIME WALL_NS [STEP:TIMES]
"""

import sys
from pathlib import Path

from netledger.quotas.book import Book
from netledger.quotas.commands import Commands
from netledger.quotas.keeper import Keeper
from netledger.quotas.objects import Objects
from tests.crash.lives import dying_at
from tests.kernel.lab import wait_for
from tests.unit.memory_source import TestClock


def live(store: Path, directory: Path, clock: TestClock, die_at: str = "") -> None:
    book = Book(store, "gw1", clock, at_step=dying_at(die_at or "never:1"))
    keeper = Keeper(book, Objects(), clock, traces=directory.with_name("quota.resets"))
    commands = Commands(book, directory, clock, node="gw1")
    book.refresh()
    commands.sweep()
    keeper.look("start")

    def is_quiet() -> bool:
        commands.turn()
        return commands.wait_ns() is None

    wait_for(is_quiet, 20, "the end of all commands")
    keeper.look("look")
    keeper.close()


if __name__ == "__main__":
    live(Path(sys.argv[1]), Path(sys.argv[2]), TestClock(int(sys.argv[3])), *sys.argv[4:5])
