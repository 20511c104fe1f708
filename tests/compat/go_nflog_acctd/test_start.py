"""Flags, usage and refused starts as in the transcript of the old program. No kernel needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.go_nflog_acctd.transcript import Case, even, flag_cases, usage

PROGRAM = Path(sys.executable).with_name("go-nflog-acctd")
REFUSED = [case for case in flag_cases() if case.status != 124]


def run(directory: Path, *words: str, cwd: Path | None = None) -> tuple[int, str]:
    argv = [str(PROGRAM), "-priority", "0", "-runtime-directory", str(directory / "run"), *words]
    done = subprocess.run(
        argv, check=False, capture_output=True, cwd=cwd or directory, timeout=120, start_new_session=True
    )
    assert done.stdout == b""
    return done.returncode, os.fsdecode(done.stderr)


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_the_usage_is_that_of_the_old_program_to_the_byte(tmp_path: Path, word: str) -> None:
    assert run(tmp_path, word) == (0, usage())


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: " ".join(case.words))
def test_what_was_refused_is_refused_with_the_same_words(tmp_path: Path, case: Case) -> None:
    status, text = run(tmp_path, "-log-directory", "gof", *case.words)
    lines = [even(line) for line in text.splitlines()]
    assert status == case.status
    if status != 2:
        assert lines == list(case.lines)
        return
    # The transcript shows the first lines of the usage only.
    assert lines[: len(case.lines)] == list(case.lines)
    assert text.partition("\n")[2] == usage()


def test_the_transcript_has_been_read_whole() -> None:
    assert len(flag_cases()) == 24
    assert {case.status for case in flag_cases()} == {1, 2, 124}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-ip4-dst-group"], "flag needs an argument: -ip4-dst-group"),
        (["-interval", "5"], 'invalid value "5" for flag -interval: parse error'),
        (["-debug=maybe"], 'invalid boolean value "maybe" for -debug: parse error'),
    ],
)
def test_a_flag_error_comes_before_the_usage(tmp_path: Path, words: list[str], line: str) -> None:
    assert run(tmp_path, *words) == (2, f"{line}\n{usage()}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-ip4-prefix-length=-1", "-ip4-dst-group", "4"], "Prefix length -1 of -ip4-prefix-length must be >= 0"),
        (["-ip4-dst-group", "65540"], "Group 65540 of -ip4-dst-group must be <= 65535"),
        (["-ip4-dst-group", "-4"], "Not monitoring any groups - exiting"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(tmp_path: Path, words: list[str], line: str) -> None:
    status, text = run(tmp_path, "-log-directory", "acc", *words)
    assert (status, [even(one) for one in text.splitlines()]) == (1, [line])


def test_the_log_directory_is_made_even_when_the_start_then_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "-log-directory", "a/b")[0] == 1
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o750
    assert run(tmp_path, "-log-directory", "c", "-interval", "7m")[0] == 1
    assert not (tmp_path / "c").exists()


def test_the_usage_names_the_program_as_it_was_called(tmp_path: Path) -> None:
    alias = tmp_path / "acct"
    alias.symlink_to(PROGRAM)
    done = subprocess.run([str(alias), "-h"], check=False, capture_output=True, text=True, timeout=120)
    assert done.stderr == usage().replace("go-nflog-acctd", "acct")


def test_the_subcommand_is_the_same_program(tmp_path: Path) -> None:
    argv = [str(PROGRAM.with_name("netledger")), "compat", "go-nflog-acctd", "-h"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stderr) == (0, usage())


def test_each_flag_without_effect_is_named_once(tmp_path: Path) -> None:
    words = ["-cpus", "2", "-cpuprofile", "c", "-memprofile=m", "-log-directory", "acc"]
    status, text = run(tmp_path, *words)
    assert status == 1
    assert [even(line) for line in text.splitlines()] == [
        "-cpus has no effect: there is no Go runtime here",
        "-cpuprofile has no effect: there is no Go runtime here",
        "-memprofile has no effect: there is no Go runtime here",
        "Not monitoring any groups - exiting",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acc"]
