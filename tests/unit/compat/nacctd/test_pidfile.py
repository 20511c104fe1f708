"""One instance: what keeps a second one out, and what does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.compat.nacctd.pidfile import PidFile
from tests.kernel.lab import wait_for
from tests.unit.compat.nacctd.quiet import Told


def claim(path: Path) -> tuple[PidFile, bool, list[str]]:
    told = Told()
    made = PidFile(str(path), told)  # type: ignore[arg-type]  # it says the same
    return made, made.claim(), told.texts


def test_the_pid_is_in_the_file_until_it_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    made, is_claimed, said = claim(path)
    assert (is_claimed, said) == (True, [])
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    made.remove()
    assert not path.exists()
    made.remove()


def test_a_second_instance_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    made, _, _ = claim(path)
    before = path.stat()
    other, is_claimed, said = claim(path)
    assert not is_claimed
    assert said == [f"found pid-file with pid {os.getpid()}", f"process {os.getpid()} is still running."]
    other.remove()
    assert path.stat() == before
    made.remove()


@pytest.mark.parametrize("content", ["garbage\n", ""])
def test_a_file_without_a_pid_keeps_nobody_out(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    made, is_claimed, _ = claim(path)
    assert is_claimed
    assert path.read_text() == f"{os.getpid()}\n"
    made.remove()


def test_a_stale_pid_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    path.write_bytes(dead.stdout)
    made, is_claimed, said = claim(path)
    assert is_claimed
    assert said[1] == f"process {int(dead.stdout)} doesn't exist anymore"
    made.remove()


def test_a_living_process_of_another_name_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    made, is_claimed, _ = claim(path)
    assert is_claimed
    made.remove()


def test_the_old_program_keeps_us_out(tmp_path: Path) -> None:
    path, program = tmp_path / "pid", tmp_path / "nacctd"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as old:
        path.write_text(f"{old.pid}\n")
        # The kernel lets the caller go on a moment before the child has its name.
        comm = Path(f"/proc/{old.pid}/comm")
        wait_for(lambda: comm.read_text() == "nacctd\n", 10, "a process called nacctd")
        _, is_claimed, said = claim(path)
        old.kill()
    assert not is_claimed
    assert said[1] == f"process {old.pid} is still running."
    assert path.read_text() == f"{old.pid}\n"
