"""Each period gets a file of its own, whole, once."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netledger.compat.go_nflog_acctd.files import Journal, Period, make_directories, write_period
from netledger.compat.go_nflog_acctd.log import Log
from netledger.intervals import SystemClock
from tests.unit.compat.go_nflog_acctd.test_gotext import NOON, SECOND_NS, zone

PERIOD = Period(seq=1, start_ns=NOON, end_ns=NOON + 5 * SECOND_NS)
NAME = "2026-11-20-120000_2026-11-20-120005"
Write = Callable[..., bool]


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with zone("UTC"):
        yield


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "acc"
    made.mkdir()
    return made


@pytest.fixture
def write(tmp_path: Path, directory: Path) -> Write:
    log = Log(SystemClock(), program="test", verbose=False)

    def call(*chunks: bytes, period: Period = PERIOD) -> bool:
        journal = Journal(tmp_path / "files.json")
        return write_period(chunks, directory=str(directory), period=period, journal=journal, log=log)

    return call


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line[20:] for line in capfd.readouterr().err.splitlines()]


def test_a_period_is_written_whole_and_leaves_nothing_else(
    write: Write, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert write(b"one\n", b"two\n")
    assert contents(directory) == {f"{NAME}.csv": b"one\ntwo\n"}
    path = directory / f"{NAME}.csv"
    assert lines(capfd) == [f"Dumping stats to {path}", f'Stats file "{path}" written']


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o644)])
def test_the_mode_is_0644_less_the_umask(write: Write, directory: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        assert write(b"")
    finally:
        os.umask(before)
    assert (directory / f"{NAME}.csv").stat().st_mode & 0o7777 == mode


def test_a_taken_name_is_left_alone_and_the_next_free_one_is_used(
    write: Write, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / f"{NAME}.csv").write_bytes(b"preexisting\n")
    (directory / f"{NAME}.1.csv").symlink_to("nowhere")
    assert write(b"mine\n")
    assert (directory / f"{NAME}.csv").read_bytes() == b"preexisting\n"
    assert (directory / f"{NAME}.2.csv").read_bytes() == b"mine\n"
    assert (directory / f"{NAME}.1.csv").is_symlink()
    assert lines(capfd) == [
        f'Output file "{directory}/{NAME}.csv" already exists',
        f"Dumping stats to {directory}/{NAME}.2.csv",
        f'Stats file "{directory}/{NAME}.2.csv" written',
    ]


def test_the_repeated_hour_of_autumn_gets_a_file_of_its_own(write: Write, directory: Path) -> None:
    first = Period(seq=1, start_ns=1_793_509_200 * SECOND_NS, end_ns=1_793_511_000 * SECOND_NS)
    hour = 3600 * SECOND_NS
    again = Period(seq=2, start_ns=first.start_ns + hour, end_ns=first.end_ns + hour)
    with zone("America/New_York"):
        assert write(b"EDT", period=first)
        assert write(b"EST", period=again)
    name = "2026-11-01-010000_2026-11-01-013000"
    assert contents(directory) == {f"{name}.csv": b"EDT", f"{name}.1.csv": b"EST"}


def test_a_missing_directory_is_told_and_not_made(
    write: Write, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory.rmdir()
    assert not write(b"x")
    assert not directory.exists()
    assert lines(capfd)[-1] == f"Failed to open stats file: open {directory}/{NAME}.tmp: no such file or directory"
    directory.mkdir()
    assert write(b"x")
    assert contents(directory) == {f"{NAME}.csv": b"x"}


def test_what_cannot_be_written_leaves_nothing_behind(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = Log(SystemClock(), program="test", verbose=False)
    journal = Journal(directory.parent / "files.json")
    assert not write_period(failing(), directory=str(directory), period=PERIOD, journal=journal, log=log)
    assert contents(directory) == {}
    expected = f"Failed to write to stats file: write {directory}/{NAME}.tmp: no space left on device"
    assert lines(capfd)[-1] == expected


def test_what_a_killed_process_left_half_written_is_replaced(write: Write, directory: Path) -> None:
    (directory / f"{NAME}.tmp").write_bytes(b"much longer than the whole")
    assert write(b"whole")
    assert contents(directory) == {f"{NAME}.csv": b"whole"}


def test_a_link_in_place_of_the_temporary_file_is_not_followed(write: Write, directory: Path) -> None:
    victim = directory.parent / "victim"
    victim.write_bytes(b"safe")
    (directory / f"{NAME}.tmp").symlink_to(victim)
    assert not write(b"x")
    assert victim.read_bytes() == b"safe"


def test_a_period_that_is_in_a_file_already_is_not_written_again(write: Write, directory: Path) -> None:
    assert write(b"x")
    assert write(b"x")
    assert contents(directory) == {f"{NAME}.csv": b"x"}


@pytest.mark.parametrize(
    "other", [replace(PERIOD, seq=2), replace(PERIOD, start_ns=NOON + 1), replace(PERIOD, end_ns=PERIOD.end_ns + 1)]
)
def test_another_period_of_the_same_name_is_written(write: Write, directory: Path, other: Period) -> None:
    assert write(b"x")
    assert write(b"y", period=other)
    assert contents(directory) == {f"{NAME}.csv": b"x", f"{NAME}.1.csv": b"y"}


def test_a_note_of_a_file_that_is_another_one_now_does_not_count(write: Write, directory: Path) -> None:
    assert write(b"x")
    kept = (directory / f"{NAME}.csv").rename(directory / "kept")
    (directory / f"{NAME}.csv").write_bytes(b"somebody else's")
    assert write(b"x")
    assert (directory / f"{NAME}.1.csv").read_bytes() == kept.read_bytes() == b"x"


def test_a_forgotten_period_is_no_longer_known(tmp_path: Path, write: Write) -> None:
    assert write(b"x")
    journal = Journal(tmp_path / "files.json")
    assert journal.published(PERIOD) is not None
    journal.forget(PERIOD)
    assert journal.published(PERIOD) is None
    journal.forget(PERIOD)


def test_two_writers_of_one_name_do_not_mix(directory: Path, tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=60)
    log = Log(SystemClock(), program="test", verbose=False)
    done: list[bool] = []

    def one(number: int) -> None:
        both.wait()
        chunks = [f"{number}\n".encode()] * 2000
        period = replace(PERIOD, seq=number)
        journal = Journal(tmp_path / f"files{number}.json")
        done.append(write_period(chunks, directory=str(directory), period=period, journal=journal, log=log))

    threads = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True, True]
    assert sorted(contents(directory)) == [f"{NAME}.1.csv", f"{NAME}.csv"]
    assert sorted(contents(directory).values()) == [b"1\n" * 2000, b"2\n" * 2000]


def test_directories_are_made_for_owner_and_group_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_directories(f"{tmp_path}/a/b/")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o750, 0o750]
    make_directories(f"{tmp_path}/a/b")


def test_the_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as failure:  # noqa: PT011 - which directory it names is what counts
        make_directories("/proc/nope/x")
    assert (failure.value.filename, failure.value.errno) == ("/proc/nope", errno.ENOENT)
    for below in ("file", "file/x"):
        with pytest.raises(NotADirectoryError) as refused:
            make_directories(f"{tmp_path}/{below}")
        assert refused.value.filename == f"{tmp_path}/file"
