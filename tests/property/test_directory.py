"""Whatever is done to a directory of users, in the end its learner has learnt what stands there."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netledger.intervals import SystemClock
from netledger.learners.directory import DirectoryLearner
from tests.unit.recorder import Kept, running
from tests.unit.rows import wait_until

ADDRESSES = ["10.0.0.1", "10.0.0.2", "2001:db8::1"]
USERS = ["alice", "bob", ""]
names = st.sampled_from([*ADDRESSES, "new"])
steps = st.one_of(
    st.tuples(st.just("write"), names, st.sampled_from(USERS)),
    st.tuples(st.just("rename"), names, names),
    st.tuples(st.just("link"), names, names),
    st.tuples(st.just("remove"), names, st.just("")),
    st.tuples(st.just("wait"), st.just(""), st.just("")),
)


def do(folder: Path, step: tuple[str, str, str]) -> None:
    what, name, other = step
    match what:
        case "write":
            # What is written by another name of the same file is seen once a minute only.
            if (folder / name).exists() and (folder / name).stat().st_nlink > 1:
                (folder / name).unlink()
            (folder / name).write_text(other)
        case "rename" if (folder / name).exists():
            (folder / name).rename(folder / other)
        case "link" if (folder / name).exists() and not (folder / other).exists():
            os.link(folder / name, folder / other)
        case "remove":
            (folder / name).unlink(missing_ok=True)
        case _:
            pass  # there is none of this name, or there is one already


def standing(folder: Path) -> dict[str, str | None]:
    found = {name: (folder / name).read_text() for name in ADDRESSES if (folder / name).exists()}
    return {name: who for name, who in found.items() if who}


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, max_size=12), st.lists(steps, max_size=12))
def test_what_stands_in_the_directory_is_learnt(
    before: list[tuple[str, str, str]], meanwhile: list[tuple[str, str, str]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="nlt") as place:
        folder, record = Path(place, "ip"), Kept(Path(place, "store"), SystemClock())
        folder.mkdir()
        for step in before:
            do(folder, step)
        with running(DirectoryLearner("dialin", folder, SystemClock()), record):
            assert record.now() == standing(folder)
            for step in meanwhile:
                if step[0] == "wait":
                    wait_until(lambda: record.now() == standing(folder), "what stands there")
                else:
                    do(folder, step)
            wait_until(lambda: record.now() == standing(folder), "what stands there in the end")
