"""HUP with another dump file: what an earlier process has left there is taken in, and never overwritten."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from netledger.compat.nacctd.book import Book
from netledger.compat.nacctd.records import Flow
from tests.unit.compat.nacctd.quiet import NOW, Told, table_in
from tests.unit.compat.nacctd.test_book import CrashError, flow, read_back


def left(directory: Path, dump: str, *flows: Flow) -> Book:
    """What a process has left that was killed: records which are noted."""
    book, _told = read_back(table_in(directory, dump=dump))
    book.absorb([(one, 1, 100) for one in flows], seq=1, last_ns=0)
    assert book.note(NOW)
    return book


def kept(directory: Path, dump: str) -> Counter[Flow]:
    """The records that the next start finds there, with their packets."""
    book, _told = read_back(table_in(directory, dump=dump))
    assert book.note(NOW)
    return Counter({one: packets for one, packets, _size in book.records.counts(book.records.all())})


@pytest.mark.parametrize("crash", [None, "noted", "replaced", "dumped"])
def test_records_that_lie_there_are_taken_in(tmp_path: Path, crash: str | None) -> None:
    left(tmp_path, "other", flow(2), flow(3))
    told, is_moving = Told(), False

    def step(name: str) -> None:
        if is_moving and name == crash:
            raise CrashError

    book = Book(table_in(tmp_path), told, at_step=step)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384), (flow(2), 5, 500)], seq=1, last_ns=0)
    assert book.note(NOW)
    is_moving = True
    with suppress(CrashError):
        book.move(table_in(tmp_path, dump="other"), NOW)
    assert kept(tmp_path, "other") == {flow(1): 3, flow(2): 6, flow(3): 1}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "other.journal"]
    assert told.texts == ["2 records read back"]


def test_lines_that_were_about_to_be_appended_are_settled(tmp_path: Path) -> None:
    class EndError(Exception):
        pass

    def step(name: str) -> None:
        if name == "appended":
            raise EndError

    before = Book(table_in(tmp_path, dump="other"), Told(), at_step=step)  # type: ignore[arg-type]  # it says the same
    before.open(NOW)
    before.absorb([(flow(2), 1, 100), (flow(3), 1, 100)], seq=1, last_ns=0)
    with pytest.raises(EndError):
        before.write(str(tmp_path / "log"), [flow(2)], NOW)
    book = left(tmp_path, "dump", flow(1))
    book.move(table_in(tmp_path, dump="other"), NOW)
    assert kept(tmp_path, "other") == {flow(1): 1, flow(3): 1}
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_directory_that_is_mounted_later_may_have_some_too(tmp_path: Path) -> None:
    there, away = tmp_path / "mounted", tmp_path / "away"
    there.mkdir()
    left(tmp_path, "mounted/dump", flow(2))
    there.rename(away)
    book, told = read_back(table_in(tmp_path))
    book.move(table_in(tmp_path, dump="mounted/dump"), NOW)
    assert "error writing to file" in told.texts[-1]
    # Until then the old place is as good as ever: a kill loses nothing, and generations need not be kept.
    book.absorb([(flow(1), 1, 100)], seq=7, last_ns=0)
    assert book.note(NOW)
    assert book.noted == 7
    assert kept(tmp_path, "dump") == {flow(1): 1}
    away.rename(there)
    assert book.note(NOW)
    assert kept(tmp_path, "mounted/dump") == {flow(1): 1, flow(2): 1}
    assert [each.name for each in tmp_path.iterdir()] == ["mounted"]


def test_a_dump_of_the_old_program_is_taken_in(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("1795186683\t17\t10.9.0.1\t4002\t10.9.0.2\t9000\t3\t384\teth0\tunknown\n")
    left(tmp_path, "dump", flow(1)).move(table_in(tmp_path, dump="other"), NOW)
    assert sorted(kept(tmp_path, "other").values()) == [1, 3]


def test_a_damaged_journal_is_moved_out_of_the_way(tmp_path: Path) -> None:
    (tmp_path / "other.journal").write_text("{")
    left(tmp_path, "dump", flow(1)).move(table_in(tmp_path, dump="other"), NOW)
    assert (tmp_path / "other.journal.damaged").read_text() == "{"
    assert kept(tmp_path, "other") == {flow(1): 1}


def test_what_cannot_be_read_stays_and_so_do_the_records(tmp_path: Path) -> None:
    (tmp_path / "other.journal").mkdir()
    book = left(tmp_path, "dump", flow(1))
    book.move(table_in(tmp_path, dump="other"), NOW)
    assert (tmp_path / "other.journal").is_dir()
    assert kept(tmp_path, "dump") == {flow(1): 1}


def test_a_copy_of_the_same_records_does_not_double_them(tmp_path: Path) -> None:
    def step(name: str) -> None:
        if name == "noted" and (tmp_path / "other.journal").exists():
            raise CrashError

    book = Book(table_in(tmp_path), Told(), at_step=step)  # type: ignore[arg-type]  # it says the same
    book.open(NOW)
    book.absorb([(flow(1), 3, 384)], seq=1, last_ns=0)
    book.note(NOW)
    with suppress(CrashError):
        book.move(table_in(tmp_path, dump="other"), NOW)
    # Killed with both there; and somebody has set the naccttab back before the next start, and forth behind it.
    again, told = read_back(table_in(tmp_path))
    again.move(table_in(tmp_path, dump="other"), NOW)
    assert kept(tmp_path, "other") == {flow(1): 3}
    assert (tmp_path / "other.journal.twin").exists()
    assert "moved to" in told.texts[-1]
