"""Files that are whole or not there, whoever is killed or refused in between."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from netledger.durable import make_directory, new_file, remove_unfinished, write_whole


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_whole_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    done: list[str] = []
    before = os.umask(0)
    try:
        write_whole(tmp_path / "a" / "b" / "file", lambda file: file.write(b"whole"), at_step=done.append)
    finally:
        os.umask(before)
    assert names(tmp_path / "a" / "b") == ["file"]
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "a" / "b" / "file").stat().st_mode) == 0o640
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")} == {0o750}
    assert done == ["written", "synced", "renamed", "named"]


@pytest.mark.parametrize("step", ["written", "synced"])
def test_what_fails_before_the_rename_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "file"
    write_whole(path, lambda file: file.write(b"old and longer"))

    def fail(name: str) -> None:
        if name == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, lambda file: file.write(b"new"), at_step=fail)
    assert path.read_bytes() == b"old and longer"
    assert names(tmp_path) == ["file"]


def test_a_half_written_file_of_a_dead_process_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / ".file.tmp").write_bytes(b"much longer than the whole")
    write_whole(tmp_path / "file", lambda file: file.write(b"whole"))
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert names(tmp_path) == ["file"]


def test_a_second_writer_is_refused_and_the_first_one_is_not_disturbed(tmp_path: Path) -> None:
    def both(file: object) -> None:
        with pytest.raises(BlockingIOError):
            write_whole(tmp_path / "file", lambda other: other.write(b"second"))
        os.write(file.fileno(), b"first")  # type: ignore[attr-defined]  # any file has one

    write_whole(tmp_path / "file", both)
    assert (tmp_path / "file").read_bytes() == b"first"


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"safe")
    (tmp_path / ".file.tmp").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "file", lambda file: file.write(b"x"))
    assert (tmp_path / "victim").read_bytes() == b"safe"


def test_who_writes_by_a_path_gets_an_empty_file_that_is_removed_on_failure(tmp_path: Path) -> None:
    path, temporary = tmp_path / "file", tmp_path / "file.tmp"

    def fail() -> None:
        with new_file(path, temporary) as given:
            assert given == temporary
            assert given.read_bytes() == b""
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert names(tmp_path) == []
    with new_file(path, temporary) as given:
        given.write_bytes(b"whole")
    assert names(tmp_path) == ["file"]


def test_leftovers_of_a_dead_process_are_removed_and_those_of_a_live_one_stay(tmp_path: Path) -> None:
    (tmp_path / ".dead.csv.tmp").write_text("x")
    (tmp_path / "whole.csv").write_text("x")
    with (tmp_path / ".live.csv.tmp").open("w") as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        assert [path.name for path in remove_unfinished(tmp_path)] == [".dead.csv.tmp"]
    assert names(tmp_path) == [".live.csv.tmp", "whole.csv"]
    assert remove_unfinished(tmp_path / "not there") == []


def test_a_directory_in_whose_place_a_file_is_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        make_directory(tmp_path / "file" / "below")
