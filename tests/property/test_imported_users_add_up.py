"""For any log of nacctd, cut and put together anyhow: each line is booked once, and its bytes are its user's."""

import gzip
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netledger.imports.nacctd.book import Booking
from netledger.imports.nacctd.fields import CLASSIC
from netledger.imports.nacctd.plan import plan
from netledger.imports.nacctd.users import UserNetworks
from netledger.imports.nacctd.wish import LogWish
from netledger.intervals import DAY_NS
from netledger.ledger.assignments import Assignments
from netledger.ledger.imported import imported_log
from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.assigned import by_subject
from tests.unit.booked import ask
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import opened

T = 1_795_183_200 - 900
"""A quarter of an hour before a whole one."""
USERS = ("alice", "bob", "unknown", "", "other", "user:other", "o'neill")
NETWORK = ("10.50.0.1", "10.50.0.2", "10.50.1.7")
SERVERS = ("192.0.2.1", "192.0.2.2")
Line = tuple[int, str, str, str]
"""When it was written after T, source, destination, user."""


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Lines in the order in which they were written; each has a number of bytes of its own."""
    # Steps back in time are those of a clock that was set; within a period they are allowed.
    steps = draw(st.lists(st.sampled_from((0, 0, 0, 1, 60, 300, 4000)), max_size=25))
    lines, now = [], T
    for number, step in enumerate(steps):
        now += step
        mine, other = draw(st.sampled_from(NETWORK)), draw(st.sampled_from(SERVERS + NETWORK))
        source, destination = draw(st.permutations((mine, other)))
        user = draw(st.sampled_from(USERS))
        octets = 40 + (1 << (number + 6))
        lines.append(f"{now}\t17\t{source}\t{number}\t{destination}\t53\t{octets}\tppp0\t{user}\n".encode())
    return lines


def do_import(store: Path, paths: Sequence[Path], networks: UserNetworks) -> tuple[int, int]:
    """Imports files, and gives how many lines were new and how many known."""
    clock = TestClock(START_NS + 40 * DAY_NS)
    wish = LogWish(node="gw1", meter="old", fields=CLASSIC, networks=networks, period_seconds=None, delay_seconds=360)
    known = imported_log(Reader(store), node="gw1", meter="old", kind="nacctd")
    todo = plan(paths, wish, known, lambda _what, _done, _total: None)
    assert todo.refused == []
    with opened(store, clock=clock) as ledger:
        done = Booking(ledger, Assignments(store, clock), wish, todo, known).book(lambda _what, _done, _total: None)
    assert bool(done.intervals) == todo.is_new
    return sum(one.lines for one in todo.files), sum(one.known_lines for one in todo.files)


def by_user(lines: Sequence[bytes]) -> Counter[str]:
    """The sums of the old scripts; names as reports have them."""
    sums: Counter[str] = Counter()
    for line in lines:
        fields = line.decode().rstrip("\n").split("\t")
        user = fields[-1] or "unknown"
        sums["user:" + user if user in {"other", "user:other"} else user] += int(fields[6])
    return sums


def reported(store: Path) -> Counter[str]:
    sums: Counter[str] = Counter()
    for (subject, _), counted in by_subject(ask(store, by=["subject"], period="2020..2030")).items():
        sums[subject] += sum(counted)
    return sums


@given(
    logs(),
    st.lists(st.integers(0, 25), max_size=3),
    st.randoms(use_true_random=False),
    st.sampled_from((UserNetworks(), UserNetworks.parse(["10.50.0.0/16"], ["10.50.1.7"]))),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_each_line_is_booked_once_and_on_its_user(
    lines: list[bytes], cuts: list[int], chance: "object", networks: UserNetworks
) -> None:
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        # logrotate cuts behind what was written in one second.
        borders = [0, *sorted(cut for cut in cuts if 0 < cut < len(lines) and _apart(lines, cut)), len(lines)]
        paths = []
        for number, (start, end) in enumerate(itertools.pairwise(borders)):
            path = Path(folder) / f"net-acct.log.{number}"
            content = b"".join(lines[start:end])
            path.write_bytes(gzip.compress(content) if number % 2 else content)
            paths.append(path)
        chance.shuffle(paths)  # type: ignore[attr-defined]  # a Random of Hypothesis
        for path in paths[::2]:
            do_import(store, [path], networks)
        new, known = do_import(store, paths, networks)
        assert new + known == len(lines)
        (Path(folder) / "all.log").write_bytes(b"".join(lines))
        assert do_import(store, [Path(folder) / "all.log"], networks) == (0, len(lines))
        assert reported(store) == by_user(lines)
        spans = sorted((one.start_ns, one.end_ns) for one in Reader(store).snapshot().intervals)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
        with opened(store, clock=TestClock(START_NS + 40 * DAY_NS)) as ledger:
            maintain(ledger)
        assert reported(store) == by_user(lines)
        assert verify(Reader(store)) == []


def _apart(lines: Sequence[bytes], place: int) -> bool:
    return lines[place - 1].split(b"\t")[0] != lines[place].split(b"\t")[0]
