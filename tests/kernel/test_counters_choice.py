"""A meter of named counters that begins again with other patterns: what it took goes on, the rest is baseline."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM, SIGUSR1, Signals
from typing import TypeAlias

import pytest

from netledger import nfacct
from tests.kernel.counter_space import V4_BYTES, Rules, Space, Told
from tests.kernel.lab import Child, Count, wait_for
from tests.kernel.test_counters_crash import Dying

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

PROGRAM = str(Path(sys.executable).with_name("netledger"))
Wishes: TypeAlias = Mapping[str, Sequence[str]]
MANY = Count(1_000, 1_000_000)

# What a meter of each kind asks for, narrow and wide; and what its counters are called.
NARROW: dict[str, Wishes] = {
    "nfacct": {"objects": ("w*",), "nft": ()},
    "nft": {"objects": (), "nft": ("inet beside web",)},
}
WIDE: dict[str, Wishes] = {
    "nfacct": {"objects": ("*",), "nft": ()},
    "nft": {"objects": (), "nft": ("inet beside w*", "inet * mail")},
}
CALLED = {"nfacct": ("web", "mail"), "nft": ("inet beside web", "inet beside mail")}
KINDS = sorted(CALLED)


@pytest.fixture
def space() -> Iterator[Space]:
    """With counters that have a past: 2 packets in web; in mail 1,000 of nfacct, or 3 of nftables."""
    with Space() as made, made.inside(made.here):
        nfacct.add("web")
        nfacct.add("mail", packets=MANY.packets, octets=MANY.bytes)
        made.rules("web", "mail")
        made.send("web", 2)
        made.send("mail", 3)
        yield made


def past_of_mail(kind: str) -> int:
    return MANY.packets + 3 if kind == "nfacct" else 3


def begin_again(rules: Rules, wishes: Wishes) -> None:
    rules.config = replace(rules.config, choice=replace(rules.config.choice, **wishes))


def leave(space: Space, rules: Rules, how: str) -> None:
    """A process counts, sees 5 packets of each, and goes without an end; then there are 4 more."""
    child = Dying(rules)
    space.send("web", 5)
    space.send("mail", 5)
    if how == "kill":
        child.kill()
    else:
        assert child.tell("keep")
        assert child.wait() == 0
    space.send("web", 4)
    space.send("mail", 4)


def count_on(space: Space, rules: Rules) -> tuple[Told, Told]:
    """The start closes what was left; the interval behind has 3 packets of each."""
    (before,) = rules.open()
    space.send("web", 3)
    space.send("mail", 3)
    after = rules.cut()
    rules.close()
    return before, after


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["kill", "keep"])
def test_wider_patterns_book_nothing_of_the_past(space: Space, how: str, kind: str) -> None:
    web, mail = CALLED[kind]
    rules = Rules.on(space.directory, **NARROW[kind])
    leave(space, rules, how)
    begin_again(rules, WIDE[kind])
    before, after = count_on(space, rules)
    assert {name: row["packets"] for name, row in before.rows.items()} == {web: 9}
    assert (after.rows[mail]["packets"], after.rows[mail]["change"]) == (3, "baseline")
    assert (after.rows[web]["packets"], after.rows[web]["change"]) == (3, None)
    assert f"had {past_of_mail(kind) + 9} packets" in str(after.observed.why_lost)
    assert set(rules.statuses()) == {"exact"}
    assert rules.booked(mail) == Count(3, 3 * V4_BYTES)
    assert rules.booked(web) == Count(12, 12 * V4_BYTES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["kill", "keep"])
def test_narrower_patterns_close_what_the_wider_ones_counted_and_call_nothing_deleted(
    space: Space, how: str, kind: str
) -> None:
    web, mail = CALLED[kind]
    rules = Rules.on(space.directory, **WIDE[kind])
    leave(space, rules, how)
    begin_again(rules, NARROW[kind])
    before, after = count_on(space, rules)
    assert {name: before.rows[name]["packets"] for name in (web, mail)} == {web: 9, mail: 9}
    assert {name: (row["packets"], row["change"]) for name, row in after.rows.items()} == {web: (3, None)}
    assert set(rules.statuses()) == {"exact"}
    assert before.observed.interrupted is after.observed.interrupted is None


def test_what_the_old_patterns_take_and_appears_while_nobody_looks_is_booked_by_them(space: Space) -> None:
    rules = Rules.on(space.directory, **NARROW["nfacct"])
    leave(space, rules, "kill")
    nfacct.add("wide", packets=7, octets=700)
    nfacct.add("other", packets=8, octets=800)
    begin_again(rules, WIDE["nfacct"])
    before, after = count_on(space, rules)
    assert (before.rows["wide"]["change"], before.rows["wide"]["packets"]) == ("appeared", 7)
    assert (after.rows["wide"]["change"], after.rows["wide"]["packets"]) == (None, 0)
    assert (after.rows["other"]["change"], after.rows["other"]["packets"]) == ("baseline", 0)


@pytest.mark.parametrize("step", ["tallied", "noted", "begun", "frozen"])
def test_killed_while_it_begins_again_with_other_patterns(space: Space, step: str) -> None:
    rules = Rules.on(space.directory, **NARROW["nfacct"])
    leave(space, rules, "kill")
    begin_again(rules, WIDE["nfacct"])
    second = Dying(rules, step)
    assert not second.is_open
    assert second.wait() == -SIGKILL
    rules.open()
    space.send("web", 3)
    space.send("mail", 3)
    rules.cut()
    rules.close()
    assert rules.booked("web") == Count(12, 12 * V4_BYTES)
    assert rules.booked("mail") == Count(3, 3 * V4_BYTES)
    assert set(rules.statuses()) == {"exact"}


def test_an_object_that_is_newly_ensured_is_made_once_and_books_what_it_counts(space: Space) -> None:
    rules = Rules.on(space.directory, **NARROW["nfacct"])
    leave(space, rules, "kill")
    begin_again(rules, {**NARROW["nfacct"], "ensure": ("new",)})
    (before,) = rules.open()
    assert "new" not in before.rows
    space.run(space.here, ["iptables", "-w", "-A", "OUTPUT", "-m", "nfacct", "--nfacct-name", "new"])
    space.send("mail", 6)
    told = rules.cut()
    assert (told.rows["new"]["packets"], told.rows["new"]["change"]) == (6, None)
    assert set(rules.statuses()) == {"exact"}
    rules.close()


class Daemon:
    """With one meter, whose patterns change."""

    def __init__(self, space: Space, wishes: Wishes) -> None:
        self._space = space
        self.write(wishes)
        argv = [PROGRAM, "run", "--config", str(self._file)]
        self.child: Child = space.spawn(space.here, argv)
        self.wait_for("event=started", 1)

    @property
    def _file(self) -> Path:
        return self._space.directory / "c.toml"

    def write(self, wishes: Wishes) -> None:
        lines = [f"{key} = {[*value]!r}" for key, value in wishes.items()]
        directory = self._space.directory
        head = f'node = "gw1"\nstore = "{directory}/store"\nruntime = "{directory}/run"\n'
        meter = '[meters.rules]\nsource = "nfacct"\n[meters.rules.nfacct]\n'
        self._file.write_text(head + meter + "\n".join(lines) + "\n")

    def wait_for(self, event: str, number: int) -> None:
        wait_for(lambda: self.child.errors().count(event) >= number or not self.child.running, 20, event)
        assert self.child.running, self.child.errors()

    def number(self, event: str) -> int:
        return self.child.errors().count(event)

    def tell(self, what: Signals, event: str) -> None:
        number = self.number(event)
        self.child.signal(what)
        self.wait_for(event, number + 1)

    def stop(self) -> None:
        self.child.signal(SIGTERM)
        assert self.child.wait() == 0, self.child.errors()


def counters_of(space: Space) -> dict[str, int]:
    """What the report says."""
    argv = [PROGRAM, "report", "--counters", "--json", "--config", str(space.directory / "c.toml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # The day was not covered before the meter began; that is all there is to say against it.
    assert "interrupted" not in done.stderr, done.stderr
    return {row["name"]: row["packets"] for row in json.loads(done.stdout)["rows"]}


def send_and_ask(space: Space, daemon: Daemon) -> int:
    """One packet more, and how often the meter has begun to count."""
    space.send("web", 1)
    return daemon.number("meter=rules event=counting")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_wider", [True, False])
def test_hup_with_other_patterns_under_traffic_misses_nothing_and_books_no_past(
    space: Space, kind: str, *, is_wider: bool
) -> None:
    narrow, wide = NARROW[kind], WIDE[kind]
    daemon = Daemon(space, narrow if is_wider else wide)
    space.send("web", 5)
    daemon.write(wide if is_wider else narrow)
    before = daemon.number("meter=rules event=counting")
    daemon.child.signal(SIGHUP)
    wait_for(lambda: send_and_ask(space, daemon) > before, 20, "the meter")
    space.send("mail", 3)
    daemon.tell(SIGUSR1, "event=committed")
    daemon.stop()
    booked = counters_of(space)
    web, mail = CALLED[kind]
    # What was there when it began first is not booked, and all since is.
    assert booked[web] == space.kernel("web").packets - 2
    assert booked.get(mail) == (3 if is_wider else 0)
