"""A daemon's parts without its loop: a board with one meter in memory."""

import json
from dataclasses import dataclass
from pathlib import Path

from netledger.config import loads
from netledger.daemon.answers import Answers
from netledger.daemon.board import Board
from netledger.daemon.choice import Chosen
from netledger.daemon.meter import RunningMeter
from netledger.ledger import Ledger
from netledger.pipeline import CommitQueue, Exports, Pipeline
from netledger.pipeline.problems import Problems
from tests.unit.memory_source import MemorySource, TestClock
from tests.unit.rows import START_NS


@dataclass
class House:
    """A daemon's parts without its loop."""

    board: Board
    source: MemorySource
    clock: TestClock
    problems: Problems
    meter: RunningMeter
    runtime: Path

    def ask(self, question: str) -> dict[str, object]:
        """The first line of the answer."""
        answer: dict[str, object] = json.loads(Answers(self.board).answer(question.encode()).splitlines()[0])
        return answer

    def whats(self) -> list[str]:
        return [problem.what for problem in self.board.status().problems]


def built(tmp_path: Path) -> House:
    """One meter, ``lan``, that counts; its store is ``tmp_path/store``, its runtime directory ``tmp_path/run``."""
    store, runtime = tmp_path / "store", tmp_path / "run"
    runtime.mkdir()
    text = '[meters.lan]\ninterval = "5m"\nrows_max = 1000\nprefix_length = {ipv4 = 24}\n'
    config = loads(f'node = "gw1"\nstore = "{store}"\nruntime = "{runtime}"\n{text}', file="f")
    clock = TestClock(START_NS)
    problems = Problems(clock)
    pipeline = Pipeline("gw1", Ledger(store, clock=clock), Exports([], clock=clock))
    queue = CommitQueue(pipeline, committed=lambda _receipt: None, problems=problems)
    source = MemorySource("lan")
    chosen = Chosen("nflog")
    meter = RunningMeter(
        "lan", config.meters["lan"], source, queue=queue, clock=clock, chosen=chosen, problems=problems
    )
    meter.open()
    board = Board(config, clock, queue, problems)
    board.opened(meter)
    return House(board, source, clock, problems, meter, runtime)
