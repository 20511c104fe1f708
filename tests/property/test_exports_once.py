"""Whatever fails, is changed, restarted or compacted in between: each interval is written once by each export."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netledger.exports.formats import Export
from netledger.ledger.maintain import compact
from tests.unit.store import opened
from tests.unit.test_pipeline_exports import Running, export, written

NAMES = ("a", "b")
METERS = ("lan", "wan")
STEPS = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from(METERS)),
    st.tuples(st.just("again"), st.sampled_from(METERS)),
    st.tuples(st.just("break"), st.sampled_from(NAMES)),
    st.tuples(st.just("mend"), st.sampled_from(NAMES)),
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("restart"), st.just("")),
    st.tuples(st.just("die"), st.sampled_from(NAMES)),
    st.tuples(st.just("compact"), st.just("")),
)


class Model:
    """A pipeline, and beside it what each export must have written.

    An export is broken by a file in the place of its directory; what it had written is set aside meanwhile.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.wanted: dict[str, None] = dict.fromkeys(NAMES)
        self.broken: set[str] = set()
        self.seqs = dict.fromkeys(METERS, 0)
        self.expected: dict[str, list[tuple[str, int]]] = {name: [] for name in NAMES}
        self.due: dict[str, list[tuple[str, int]]] = {name: [] for name in NAMES}
        self.run = self.start()

    def start(self) -> Running:
        return Running(self.place / "store", self.exports())

    def exports(self) -> list[Export]:
        return [export(self.place / name, name) for name in self.wanted]

    def step(self, what: str, which: str) -> None:
        {
            "commit": self.commit,
            "again": self.again,
            "break": self.spoil,
            "mend": self.mend,
            "add": self.add,
            "remove": self.remove,
            "restart": self.restart,
            "die": self.die,
            "compact": self.compact,
        }[what](which)

    def commit(self, meter: str) -> None:
        self.seqs[meter] += 1
        self.run.commit(self.seqs[meter], meter=meter)
        for name in self.wanted:
            self.due[name].append((meter, self.seqs[meter]))

    def again(self, meter: str) -> None:
        if self.seqs[meter]:
            self.run.commit(self.seqs[meter], meter=meter)

    def spoil(self, name: str) -> None:
        self.settle()
        if name not in self.broken:
            self.broken.add(name)
            if (self.place / name).exists():
                (self.place / name).rename(self.place / f"{name}.aside")
            (self.place / name).write_text("in the way")

    def add(self, name: str) -> None:
        self.settle()
        self.wanted[name] = None
        self.run.pipeline.change_exports(self.exports())

    def remove(self, name: str) -> None:
        self.settle()
        self.wanted.pop(name, None)
        self.due[name].clear()
        self.run.pipeline.change_exports(self.exports())

    def compact(self, _which: str) -> None:
        self.run.pipeline.close()
        with opened(self.place / "store") as ledger:
            compact(ledger, "2025-11-20")
        self.run = self.start()

    def mend(self, name: str) -> None:
        if name in self.broken:
            self.broken.discard(name)
            (self.place / name).unlink()
            if (self.place / f"{name}.aside").exists():
                (self.place / f"{name}.aside").rename(self.place / name)
            # It would be tried again by itself, after a pause.
            self.restart("")

    def restart(self, _which: str) -> None:
        self.run.pipeline.close()
        self.run = self.start()

    def die(self, name: str) -> None:
        """What a process leaves that dies between the name of a file and the note that it is written."""
        self.settle()
        self.run.pipeline.close()
        if self.expected[name] and name in self.wanted:
            with opened(self.place / "store") as ledger:
                # One that is broken may not have got over the death before.
                sql = "INSERT OR IGNORE INTO exports_due VALUES (?, 'gw1', ?, ?, NULL)"
                ledger.connection.execute(sql, (name, *self.expected[name][-1]))
        self.run = self.start()

    def settle(self) -> None:
        """Waits for those that can work."""
        for name in self.wanted:
            if name not in self.broken:
                self.run.settle(name)
                self.expected[name] += self.due[name]
                self.due[name].clear()

    def check(self) -> None:
        for name in list(self.broken):
            self.mend(name)
        self.settle()
        self.run.pipeline.close()
        for name in NAMES:
            for meter in METERS:
                found = written(self.place / name, meter)
                assert found == sorted(seq for one, seq in self.expected[name] if one == meter), name


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_each_interval_is_written_once_by_each_export(steps: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder))
        try:
            for what, which in steps:
                model.step(what, which)
            model.check()
        finally:
            model.run.pipeline.close()
