"""Records on disk: every record has its line once, whatever happens between any two steps."""

import itertools
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netledger.compat.nacctd.book import Book
from netledger.compat.nacctd.lines import parse_line, text_of
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.records import Counts, Flow
from tests.unit.compat.nacctd.quiet import NOW, Told, table_in

NONE: frozenset[int] = frozenset()
SECONDS = NOW.wall_ns // 10**9


def flow(number: int, user: str | None = None) -> Flow:
    return Flow(17, 0x0A090001, 4000 + number, 0x0A090002, 9000, "eth0", user)


class CrashError(Exception):
    """The process is killed here."""


class World:
    """The files of a daemon and the generations that are not released: what outlives a process.

    ``crashes`` are the numbers of the steps after which a process is killed.
    """

    def __init__(self, directory: Path, crashes: set[int] | None = None) -> None:
        self.directory = directory
        self.table = table_in(directory)
        self.crashes = crashes or set()
        self.steps = 0
        self.told = Told()
        self.counted: Counter[Flow] = Counter()
        self._generations: dict[int, list[Counts]] = {}
        self._next = 1
        self.start()

    def start(self) -> None:
        while True:
            try:
                self.book = Book(self.table, self.told, at_step=self.step)  # type: ignore[arg-type]  # it says the same
                self.book.open(NOW)
                for seq, counts in sorted(self._generations.items()):
                    if seq > self.book.noted:
                        self.book.absorb(counts, seq=seq, last_ns=NOW.monotonic_ns)
                self.book.note(NOW)
                self.release()
            except CrashError:
                continue
            return

    def step(self, _name: str) -> None:
        self.steps += 1
        if self.steps in self.crashes:
            raise CrashError

    def release(self) -> None:
        self._generations = {seq: each for seq, each in self._generations.items() if seq > self.book.noted}

    def cycle(self, counts: list[Counts], due: int = 100) -> None:
        """A cut and a flush: so many of the records are written."""
        seq, self._next = self._next, self._next + 1
        self._generations[seq] = counts
        for each, packets, _size in counts:
            self.counted[each] += packets
        try:
            self.book.absorb(counts, seq=seq, last_ns=NOW.monotonic_ns)
            self.book.write(self.table.file, self.book.records.all()[:due], NOW)
            self.book.note(NOW)
            self.release()
        except CrashError:
            self.start()

    def end(self) -> None:
        self.crashes = set()
        self.cycle([])
        assert self._generations == {}
        self.book.close()
        assert sorted(each.name for each in self.directory.iterdir()) == ["log"]

    def written(self) -> Counter[Flow]:
        found: Counter[Flow] = Counter()
        for line in (self.directory / "log").read_bytes().splitlines(keepends=True):
            counts = parse_line(line, NONE)
            assert counts is not None, line
            found[counts[0]] += counts[1]
        return found


def live(world: World) -> None:
    world.cycle([(flow(1), 3, 384), (flow(2), 1, 28)], due=0)
    world.cycle([(flow(1), 2, 256), (flow(3), 7, 700)], due=2)
    world.cycle([(flow(1), 1, 100)], due=1)
    world.cycle([])
    world.end()


STEPS = 14


def test_without_a_crash_each_record_is_written_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    live(world)
    assert world.written() == world.counted
    assert world.steps <= STEPS


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_after_any_step_each_record_is_still_written_once(tmp_path: Path, step: int) -> None:
    world = World(tmp_path, {step})
    live(world)
    assert world.written() == world.counted


@pytest.mark.parametrize(("step", "then"), list(itertools.product(range(1, STEPS + 1), range(1, 4))))
def test_killed_again_while_it_recovers_each_record_is_still_written_once(tmp_path: Path, step: int, then: int) -> None:
    world = World(tmp_path, {step, step + then})
    live(world)
    assert world.written() == world.counted


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=4), st.integers(0, 5)), max_size=6
    ),
    st.sets(st.integers(1, 40), max_size=4),
)
def test_whatever_comes_and_goes_the_sums_are_those_of_what_was_counted(
    tmp_path_factory: pytest.TempPathFactory, cycles: list[tuple[list[tuple[int, int]], int]], crashes: set[int]
) -> None:
    world = World(tmp_path_factory.mktemp("world"), crashes)
    for counts, due in cycles:
        world.cycle([(flow(number), packets, packets * 100) for number, packets in counts], due)
    world.end()
    assert world.written() == +world.counted


def pending(directory: Path) -> tuple[World, bytes, bytes]:
    """A daemon that was killed when it was about to append; what the log held, and the lines."""
    (directory / "log").write_bytes(b"before\n")
    world = World(directory)
    world.crashes = {world.steps + 1}
    counts = [(flow(1), 3, 384), (flow(2), 1, 28)]
    lines = b"".join(text_of(each, seconds=SECONDS, disabled=NONE) for each in counts)
    seen: list[str] = []

    def step(name: str) -> None:
        seen.append(name)
        if name == "intended":
            raise CrashError

    world.book = Book(world.table, world.told, at_step=step)  # type: ignore[arg-type]  # it says the same
    world.book.open(NOW)
    world.book.absorb(counts, seq=1, last_ns=NOW.monotonic_ns)
    with pytest.raises(CrashError):
        world.book.write(world.table.file, world.book.records.all(), NOW)
    world.crashes = set()
    return world, b"before\n", lines


@pytest.mark.parametrize("part", range(0, 100, 7))
def test_lines_that_were_written_in_part_are_completed(tmp_path: Path, part: int) -> None:
    world, before, lines = pending(tmp_path)
    part = min(part, len(lines))
    (tmp_path / "log").write_bytes(before + lines[:part])
    world.start()
    world.book.write(world.table.file, world.book.records.all(), NOW)
    assert (tmp_path / "log").read_bytes() == before + lines


@pytest.mark.parametrize("part", [20, 1000])
def test_lines_are_found_in_a_log_that_was_moved_away(tmp_path: Path, part: int) -> None:
    world, before, lines = pending(tmp_path)
    (tmp_path / "log.1").write_bytes(before + lines[:part])
    (tmp_path / "log").write_bytes(b"")
    world.start()
    world.book.write(world.table.file, world.book.records.all(), NOW)
    assert (tmp_path / "log.1").read_bytes() == before + lines
    assert (tmp_path / "log").read_bytes() == b""


def test_lines_that_may_be_in_a_compressed_log_are_written_and_that_is_said(tmp_path: Path) -> None:
    world, _before, lines = pending(tmp_path)
    (tmp_path / "log.1.gz").write_bytes(b"gzip")
    (tmp_path / "log").write_bytes(b"")
    world.start()
    world.book.write(world.table.file, world.book.records.all(), NOW)
    assert (tmp_path / "log").read_bytes() == lines
    assert "may be in a compressed" in world.told.texts[0]


def test_lines_are_found_in_a_log_that_was_copied_and_emptied(tmp_path: Path) -> None:
    world, before, lines = pending(tmp_path)
    (tmp_path / "log.1").write_bytes(before + lines)
    (tmp_path / "log").write_bytes(b"others\n")
    world.start()
    world.book.write(world.table.file, world.book.records.all(), NOW)
    assert (tmp_path / "log").read_bytes() == b"others\n"


def test_a_failed_write_keeps_the_records(tmp_path: Path) -> None:
    table = table_in(tmp_path, file="missing/log")
    told = Told()
    book = Book(table, told)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    assert not book.write(table.file, book.records.all(), NOW)
    assert told.lines == [("nacctd (write)", f"error opening file {table.file}: No such file or directory")]
    assert len(book.records) == 1
    (tmp_path / "missing").mkdir()
    assert book.write(table.file, book.records.all(), NOW)
    assert len(book.records) == 0


@pytest.mark.parametrize("crash", [0, 1, 2])
def test_a_last_line_that_another_program_left_without_its_end_gets_one(tmp_path: Path, crash: int) -> None:
    torn = b"1795186013\t17\t10.9.0.1\t40"
    (tmp_path / "log").write_bytes(torn)
    world = World(tmp_path, {crash})
    world.cycle([(flow(1), 3, 384)])
    world.end()
    line = text_of((flow(1), 3, 384), seconds=SECONDS, disabled=NONE)
    assert (tmp_path / "log").read_bytes() == torn + b"\n" + line
    assert [text for text in world.told.texts if text.endswith("its last line was without an end")]


def test_a_full_device_keeps_the_records(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    table, told = table_in(tmp_path), Told()
    book = Book(table, told)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    assert not book.write(table.file, book.records.all(), NOW)
    assert told.lines == [("nacctd (write)", f"error writing to file {table.file}: No space left on device")]
    assert len(book.records) == 1


def test_a_pipe_gets_whole_lines_and_without_a_reader_nothing_is_lost(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    table, told = table_in(tmp_path), Told()
    book = Book(table, told)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384), (flow(2), 1, 28)], seq=1, last_ns=0)
    assert not book.write(table.file, book.records.all(), NOW)
    assert told.lines == [("nacctd (write)", f"error opening file {table.file}: No such device or address")]
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    assert book.write(table.file, book.records.all(), NOW)
    assert os.read(reader, 4096).count(b"\n") == 2
    os.close(reader)
    assert len(book.records) == 0


def test_the_dump_shows_the_records_and_goes_with_the_last(tmp_path: Path) -> None:
    table, told = table_in(tmp_path), Told()
    book = Book(table, told)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(2, "bob"), 3, 384), (flow(1), 1, 28)], seq=1, last_ns=0)
    book.note(NOW)
    assert (tmp_path / "dump").read_text() == (
        f"{SECONDS}\t17\t10.9.0.1\t4001\t10.9.0.2\t9000\t1\t28\teth0\tunknown\n"
        f"{SECONDS}\t17\t10.9.0.1\t4002\t10.9.0.2\t9000\t3\t384\teth0\tbob\n"
    )
    book.write(table.file, book.records.all(), NOW)
    book.note(NOW)
    assert not (tmp_path / "dump").exists()


def read_back(table: Table) -> tuple[Book, Told]:
    told = Told()
    book = Book(table, told)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    return book, told


def test_a_dump_of_the_old_program_is_read_back_once(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("1795186683\t17\t10.9.0.1\t4000\t10.9.0.2\t9000\t3\t384\teth0\tunknown\n")
    book, told = read_back(table_in(tmp_path))
    assert told.texts == ["1 records read back"]
    assert list(book.records.counts(book.records.all())) == [(flow(0), 3, 384)]
    assert book.note(NOW)
    again, _told = read_back(table_in(tmp_path))
    assert list(again.records.counts(again.records.all())) == [(flow(0), 3, 384)]


def test_a_dump_with_other_fields_is_moved_aside(tmp_path: Path) -> None:
    for name, text in {"dump": "hand-made\n", "dump.o": "older\n", "dump.o.o": "oldest\n"}.items():
        (tmp_path / name).write_text(text)
    book, told = read_back(table_in(tmp_path))
    assert len(book.records) == 0
    assert "moved to" in told.texts[0]
    assert [(tmp_path / f"dump{end}").read_text() for end in (".o", ".o.o", ".o.o.o")] == [
        "hand-made\n", "older\n", "oldest\n",
    ]  # fmt: skip


def test_a_dump_that_somebody_changed_is_moved_aside_and_the_records_are_read_back(tmp_path: Path) -> None:
    book, _told = read_back(table_in(tmp_path))
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    with (tmp_path / "dump").open("a") as dump:
        dump.write("more\n")
    again, told = read_back(table_in(tmp_path))
    assert len(again.records) == 1
    assert "moved to" in told.texts[0]
    assert (tmp_path / "dump.o").read_text().endswith("more\n")


def test_records_keep_fields_that_were_disabled_when_they_were_dumped(tmp_path: Path) -> None:
    classic = table_in(tmp_path, "disable 7\n")
    book, _told = read_back(classic)
    book.absorb([(flow(1, "\udcff\n"), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    again, _told = read_back(table_in(tmp_path))
    assert list(again.records.counts(again.records.all())) == [(flow(1, "\udcff\n"), 3, 384)]


@pytest.mark.parametrize("content", [b"", b"{}\n", b"garbage", b'{"version": 9}\n'])
def test_a_damaged_journal_is_moved_aside_and_the_dump_read_instead(tmp_path: Path, content: bytes) -> None:
    book, _told = read_back(table_in(tmp_path))
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    (tmp_path / "dump.journal").write_bytes(content)
    again, told = read_back(table_in(tmp_path))
    assert list(again.records.counts(again.records.all())) == [(flow(1), 3, 384)]
    assert "journal is damaged" in told.texts[0]
    assert (tmp_path / "dump.journal.damaged").exists()


def test_a_directory_that_is_not_there_is_not_made_for_the_dump(tmp_path: Path) -> None:
    book, told = read_back(table_in(tmp_path, dump="missing/dump"))
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    assert not book.note(NOW)
    assert not book.write(str(tmp_path / "log"), book.records.all(), NOW)
    assert told.lines[0][0] == "nacctd (dump)"
    assert (len(book.records), book.noted) == (1, 0)
    assert not (tmp_path / "missing").exists()


def test_a_directory_that_is_mounted_later_is_read_when_it_comes(tmp_path: Path) -> None:
    there, away = tmp_path / "mounted", tmp_path / "away"
    there.mkdir()
    table = table_in(tmp_path, dump="mounted/dump")
    before, _told = read_back(table)
    before.absorb([(flow(1), 3, 384)], seq=7, last_ns=0)
    assert before.note(NOW)
    there.rename(away)
    book, told = read_back(table)
    # Killed before it could release what it had noted; then come generations of a machine that was started anew.
    book.absorb([(flow(1), 3, 384)], seq=7, last_ns=0, is_left=True)
    book.absorb([(flow(2), 1, 128)], seq=1, last_ns=0)
    assert not book.note(NOW)
    assert book.noted == 0
    away.rename(there)
    assert book.note(NOW)
    assert told.texts[-1] == "1 records read back"
    again, _told = read_back(table)
    for one in (book, again):
        assert list(one.records.counts(one.records.all())) == [(flow(1), 3, 384), (flow(2), 1, 128)]
    assert book.noted == 1


@pytest.mark.parametrize("crash", [None, "noted", "replaced", "dumped"])
def test_another_dump_file_takes_the_records_along_and_leaves_none_behind(tmp_path: Path, crash: str | None) -> None:
    def step(name: str) -> None:
        if name == crash and (tmp_path / "other.journal").exists():
            raise CrashError

    book = Book(table_in(tmp_path), Told(), at_step=step)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    with suppress(CrashError):
        book.move(table_in(tmp_path, dump="other"), NOW)
    again, _told = read_back(table_in(tmp_path, dump="other"))
    assert again.note(NOW)
    assert len(again.records) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "other.journal"]


def test_a_dump_file_that_cannot_be_written_yet_gets_the_records_later(tmp_path: Path) -> None:
    book, _told = read_back(table_in(tmp_path))
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    book.move(table_in(tmp_path, dump="later/other"), NOW)
    assert (tmp_path / "dump.journal").exists()
    (tmp_path / "later").mkdir()
    assert book.note(NOW)
    assert [each.name for each in tmp_path.iterdir()] == ["later"]
