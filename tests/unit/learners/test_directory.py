"""nacctd's directory of users: files named after addresses, changed in every way that there is."""

import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.intervals import SECOND_NS, SystemClock
from netledger.learners.base import State
from netledger.learners.directory import DirectoryLearner
from netledger.learners.names import subject
from tests.unit.memory_source import TestClock
from tests.unit.recorder import Kept, running
from tests.unit.rows import wait_until


@pytest.fixture
def record(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "store", SystemClock())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "ip"
    path.mkdir()
    return path


def learner(folder: Path) -> DirectoryLearner:
    return DirectoryLearner("dialin", folder, SystemClock())


def wait_for(record: Kept, **held: str) -> None:
    """Until exactly these addresses are somebody's; ``a2`` stands for 10.0.0.2."""
    wanted = {f"10.0.0.{name[1:]}": who for name, who in held.items()}
    wait_until(lambda: record.now() == wanted, str(wanted))


def test_files_that_were_there_before_are_learnt_with_their_time(record: Kept, folder: Path) -> None:
    (folder / "10.0.0.2").write_text("alice\n")
    (folder / "2001:DB8::2").write_text("bob")
    (folder / "10.0.0.3").write_text("")
    for name in ("new", "10.0.0.2~", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", ".10.0.0.9"):
        (folder / name).write_text("eve\n")
    (folder / "10.0.0.4").mkdir()
    with running(learner(folder), record):
        assert record.now() == {"10.0.0.2": "alice", "2001:db8::2": "bob"}
    assert record.cuts == 1


def test_each_hand_over_begins_with_the_cut(record: Kept, folder: Path) -> None:
    file = folder / "10.0.0.2"
    with running(learner(folder), record):
        file.write_text("alice\n")
        wait_for(record, a2="alice")
        # In place: nacctd did not see this.
        file.write_text("bob\n")
        wait_for(record, a2="bob")
        (folder / "new").write_text("carol\n")
        (folder / "new").rename(file)
        wait_for(record, a2="carol")
        file.unlink()
        wait_for(record)
        (folder / "link").write_text("dave")
        os.link(folder / "link", file)
        wait_for(record, a2="dave")
        file.rename(folder / "10.0.0.3")
        wait_for(record, a3="dave")
        file.write_text("  erin  \nsecond line\n")
        wait_for(record, a2="erin", a3="dave")
        file.write_text("\n")
        wait_for(record, a3="dave")
    held = record.held("10.0.0.2")
    assert [who for who, _, _, _ in held] == ["alice", "bob", "carol", "dave", "erin"]
    # Without a gap from one to the next, where there was none.
    assert [held[0][3], held[1][3]] == [held[1][2], held[2][2]]
    assert len(record.facts()) == record.cuts + 1  # the rename from one address to the other is one cut with two facts


def test_writing_the_same_again_is_no_news(record: Kept, folder: Path) -> None:
    (folder / "10.0.0.2").write_text("alice\n")
    with running(learner(folder), record):
        (folder / "10.0.0.2").write_text("alice\n")
        (folder / "10.0.0.2").chmod(0o600)
        (folder / "10.0.0.3").write_text("end\n")
        wait_for(record, a2="alice", a3="end")
    assert len(record.facts()) == 2


def test_what_happened_while_nobody_looked_is_learnt_at_the_next_start(record: Kept, folder: Path) -> None:
    for name, who in (("10.0.0.2", "alice"), ("10.0.0.3", "bob"), ("10.0.0.4", "carol")):
        (folder / name).write_text(who)
    with running(learner(folder), record):
        pass
    (folder / "10.0.0.2").unlink()
    (folder / "10.0.0.3").write_text("dave")
    with running(learner(folder), record):
        wait_for(record, a3="dave", a4="carol")
    assert len(record.facts()) == 5


@pytest.mark.parametrize(
    ("hours", "is_believed"),
    [pytest.param(1, True, id="an hour"), pytest.param(25, False, id="more than a day")],
)
def test_what_was_changed_while_nobody_looked_was_so_since_then(
    tmp_path: Path, folder: Path, hours: int, *, is_believed: bool
) -> None:
    file = folder / "10.0.0.2"
    file.write_text("alice")
    changed_ns = file.stat().st_ctime_ns
    record = Kept(tmp_path / "store", TestClock(changed_ns + hours * 3600 * SECOND_NS))
    with running(learner(folder), record):
        pass
    ((_, _, from_ns, _),) = record.held("10.0.0.2")
    assert from_ns == (changed_ns if is_believed else record.clock.now().wall_ns)


def test_a_directory_may_come_later_and_go_and_its_facts_stay(record: Kept, folder: Path) -> None:
    folder.rmdir()
    one = learner(folder)
    with running(one, record):
        assert one.status().state is State.WAITING
        assert "no such file" in str(one.status().error)
        folder.mkdir()
        (folder / "10.0.0.2").write_text("alice")
        wait_for(record, a2="alice")
        # What was found is told before the learner says that it follows.
        wait_until(lambda: one.status().state is State.FOLLOWING, "the directory")
        assert one.status().error is None
        elsewhere = folder.with_name("elsewhere")
        folder.rename(elsewhere)
        wait_until(lambda: one.status().state is State.WAITING, "end of the directory")
        wait_for(record, a2="alice")
        elsewhere.rename(folder)
        wait_until(lambda: one.status().state is State.FOLLOWING, "the directory")
        (folder / "10.0.0.3").write_text("bob")
        wait_for(record, a2="alice", a3="bob")
        # Here each file is removed, and the directory with them.
        shutil.rmtree(folder)
        wait_for(record)
        folder.mkdir()
        (folder / "10.0.0.4").write_text("carol")
        wait_for(record, a4="carol")
    assert [who for who, _, _, _ in record.held("10.0.0.2")] == ["alice"]


def test_a_file_in_the_place_of_the_directory_is_none(record: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = learner(tmp_path / "file")
    with running(one, record):
        assert "not a directory" in str(one.status().error)


@pytest.mark.parametrize(
    "content",
    [b"\x00\x01", b"a\x1b[31mb\n", b"x" * 300, b"x" * 70_000, b"\x80\x81\n", "a\u202eb".encode()],
)
def test_what_nobody_can_be_called_is_refused_and_the_one_before_has_left(
    record: Kept, folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "10.0.0.2").write_text("alice")
    one = learner(folder)
    with running(one, record):
        (folder / "10.0.0.2").write_bytes(content)
        wait_for(record)
        wait_until(lambda: one.status().refused == 1, "the refusal")
    assert [record.message for record in caplog.records] == ["learnt_refused"]


def test_names_from_outside_are_kept_apart() -> None:
    assert subject("Jürgen".encode()) == "Jürgen"
    assert subject("Jürgen".encode("latin-1")) == "Jürgen"
    assert subject("unknown") == "user:unknown"
    assert subject("user:unknown") == "user:user:unknown"
    assert subject(b" \t ") is None


@given(st.binary(max_size=300))
def test_any_first_line_is_a_subject_or_none(raw: bytes) -> None:
    found = subject(raw)
    assert found is None or (0 < len(found) <= 255 and found.isprintable() and found == found.strip())


def test_links_pipes_and_unreadable_files_hurt_nobody(record: Kept, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:x\n")
    (folder / "10.0.0.2").symlink_to(secret)
    os.mkfifo(folder / "10.0.0.3")
    (folder / "10.0.0.4").write_text("alice")
    one = learner(folder)
    with running(one, record):
        (folder / "10.0.0.5").symlink_to(secret)
        (folder / "10.0.0.6").write_text("bob")
        wait_for(record, a4="alice", a6="bob")


@dataclass
class Slow(Kept):
    """Does not come back from a cut before it is let."""

    go: threading.Event = field(default_factory=threading.Event)

    def cut_moment(self) -> int:
        assert self.go.wait(60)
        return super().cut_moment()


def test_more_than_the_kernel_can_tell_is_looked_at_as_a_whole(tmp_path: Path, folder: Path) -> None:
    record = Slow(tmp_path / "store", SystemClock())
    # Two events for each file.
    files = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 2 + 500
    if files > 100_000:
        pytest.skip("this kernel queues too many events to fill it")
    with running(learner(folder), record):
        (folder / "10.1.0.1").write_text("alice")
        for number in range(files):
            (folder / f"10.2.{number // 256}.{number % 256}").write_text("bob")
        record.go.set()
        wait_until(lambda: len(record.open_claims("dialin")) == files + 1, "all of them", 60)
