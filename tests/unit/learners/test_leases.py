"""Leases from when they are lent to when they are free, with a clock that the test sets."""

from functools import partial
from pathlib import Path

import pytest

from netledger.config import loads
from netledger.daemon.learners import make_learner
from netledger.intervals import SECOND_NS
from netledger.learners.base import Learner, State
from tests.unit.memory_source import TestClock
from tests.unit.recorder import Kept, running
from tests.unit.rows import START_NS, wait_until

NOW = START_NS // SECOND_NS
MACS = {name: f"02:00:00:00:00:0{number}" for number, name in enumerate(("alice", "bob"), 1)}


class Shop:
    """A dnsmasq whose lease file the test writes."""

    def __init__(self, tmp_path: Path, more: str = "") -> None:
        self.clock = TestClock(START_NS)
        self.record = Kept(tmp_path / "store", self.clock)
        self.path = tmp_path / "leases"
        self.text = f'[attribution.dhcp]\nsource = "dnsmasq"\npath = "{self.path}"\n{more}'

    def learner(self) -> Learner:
        (wanted,) = loads(self.text, file="f").attribution.values()
        return make_learner("dhcp", wanted, self.clock, runtime=self.path.parent)

    def lend(self, **leases: tuple[str, int]) -> None:
        """Writes the file, whole; ``a2`` is 10.0.0.2, lent to whom and until when."""
        lines = [f"{end} {MACS[who]} 10.0.0.{name[1:]} {who} *\n" for name, (who, end) in leases.items()]
        new = self.path.with_name("new")
        new.write_text("".join(lines))
        new.rename(self.path)

    def pass_seconds(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND_NS)

    def wait_for(self, **held: str) -> None:
        wanted = {f"10.0.0.{name[1:]}": who for name, who in held.items()}
        wait_until(lambda: self.record.now() == wanted, str(wanted))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_lease_is_one_fact_however_often_it_is_renewed(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice")
        for round_ in range(1, 4):
            shop.pass_seconds(60)
            shop.lend(a2=("alice", NOW + round_ * 60 + 120), a3=("bob", 0) if round_ == 3 else ("bob", NOW + 1))
        shop.wait_for(a2="alice", a3="bob")
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, None)]
    ((_, mac, _, _),) = shop.record.held("10.0.0.2")
    assert mac == MACS["alice"]
    assert len(shop.record.facts()) == 2


def test_who_gets_the_address_next_has_it_from_the_cut_on(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice")
        shop.pass_seconds(30)
        shop.lend(a2=("bob", NOW + 150))
        shop.wait_for(a2="bob")
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, NOW + 30), ("bob", NOW + 30, None)]


def test_it_ends_when_it_expires_even_if_the_server_writes_nothing(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120), a3=("bob", NOW + 60))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice", a3="bob")
        shop.pass_seconds(100)
        # Any change makes it look; what expired did so 40 seconds ago.
        shop.path.touch()
        shop.wait_for(a2="alice")
    assert shop.record.spans("10.0.0.3") == [("bob", NOW, NOW + 60)]


def test_it_wakes_by_itself_when_a_lease_expires(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 1))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice")
        shop.pass_seconds(1)
        shop.wait_for()
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, NOW + 1)]


def test_what_is_missing_for_a_moment_is_not_over(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120))
    one = shop.learner()
    with running(one, shop.record):
        shop.wait_for(a2="alice")
        # Caught between the two steps of writing it anew in place, as dnsmasq does.
        shop.path.write_text("")
        shop.lend(a3=("bob", NOW + 120))
        shop.wait_for(a2="alice", a3="bob")
        shop.lend(a2=("alice", NOW + 120), a3=("bob", NOW + 120), a4=("bob", NOW + 120))
        shop.wait_for(a2="alice", a3="bob", a4="bob")
        shop.pass_seconds(2)
        shop.lend(a3=("bob", NOW + 122), a4=("bob", NOW + 122), a5=("bob", NOW + 122))
        shop.wait_for(a2="alice", a3="bob", a4="bob", a5="bob")
        shop.pass_seconds(2)
        shop.wait_for(a3="bob", a4="bob", a5="bob")
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, NOW + 4)]
    assert len(shop.record.facts()) == 5


def test_what_is_missing_in_one_file_after_the_other_is_over(shop: Shop) -> None:
    """A server with so many leases that its file is never left alone for a second."""
    shop.lend(a2=("alice", NOW + 120))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice")
        for number in range(3, 7):
            shop.lend(**{f"a{number}": ("bob", NOW + 120)})
            wait_until(partial(_has, shop, f"10.0.0.{number}"), "lease")
            shop.clock.advance(SECOND_NS // 2)
        wait_until(lambda: not _has(shop, "10.0.0.2"), "the end of it")
    ((_, _, end),) = shop.record.spans("10.0.0.2")
    assert end is not None


def _has(shop: Shop, address: str) -> bool:
    return address in shop.record.now()


def test_what_expired_while_nobody_looked_ended_then(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120), a3=("bob", NOW + 120))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2="alice", a3="bob")
    shop.pass_seconds(3600)
    shop.lend(a2=("alice", NOW + 180))
    with running(shop.learner(), shop.record):
        shop.pass_seconds(2)
        shop.wait_for()
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, NOW + 180)]
    # Of this one the file says nothing any more.
    assert shop.record.spans("10.0.0.3") == [("bob", NOW, NOW + 3602)]


def test_a_file_that_is_gone_leaves_what_was_learnt(shop: Shop) -> None:
    shop.lend(a2=("alice", NOW + 120))
    one = shop.learner()
    with running(one, shop.record):
        shop.wait_for(a2="alice")
        shop.path.unlink()
        wait_until(lambda: one.status().state is State.WAITING, "waiting")
        shop.pass_seconds(5)
        assert "no such file" in str(one.status().error)
        shop.lend(a2=("alice", NOW + 120), a3=("bob", NOW + 120))
        shop.wait_for(a2="alice", a3="bob")
        wait_until(lambda: one.status().state is State.FOLLOWING, "following")
    assert shop.record.spans("10.0.0.2") == [("alice", NOW, None)]


def test_lines_that_are_no_leases_are_counted(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.path.write_text("nonsense\n12 x y\n5 02:00:00:00:00:01 10.0.0.999 a *\n")
    one = shop.learner()
    with running(one, shop.record):
        wait_until(lambda: one.status().refused == 3, "refusals")
    assert [record.message for record in caplog.records] == ["learnt_refused"]
    assert shop.record.facts() == []


def test_devices_may_be_called_by_their_mac(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 'subject = "mac"\n')
    shop.lend(a2=("alice", NOW + 120))
    with running(shop.learner(), shop.record):
        shop.wait_for(a2=MACS["alice"])
    (fact,) = shop.record.facts()
    assert fact.detail == {"host_name": "alice"}


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    there = tmp_path / "elsewhere" / "real"
    there.parent.mkdir()
    shop.path.symlink_to(there)
    with running(shop.learner(), shop.record):
        for number, who in enumerate(("alice", "bob"), 1):
            there.write_text(f"{NOW + 120} {MACS[who]} 10.0.0.2 {who} *\n")
            shop.wait_for(a2=who)
            assert len(shop.record.facts()) == number
