"""What every source that tells how things are has in common: the same story, told by each in its own way."""

from collections.abc import Callable
from pathlib import Path
from time import gmtime, strftime

import pytest

from netledger.attribution.facts import Fact, Target
from netledger.config import loads
from netledger.daemon.learners import make_learner
from netledger.errors import LedgerError
from netledger.intervals import SECOND_NS
from netledger.learners.base import TOLD_BACK_NS, Learner, Standing, State, Stop, moment
from netledger.learners.claims import Claims, Holder, Nobody
from netledger.ledger import database
from tests.unit.memory_source import TestClock
from tests.unit.recorder import Kept, running
from tests.unit.rows import START_NS, wait_until

NOW = START_NS // SECOND_NS
END = NOW + 7 * 86_400
MACS = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate(("alice", "bob", "carol"), 1)}
Table = dict[str, str]


def static(path: Path, table: Table, _now: int) -> None:
    # Whole at once: a test that is held up in the middle would have said that nobody has anything.
    new = path.with_name("new")
    new.write_text("target,subject\n" + "".join(f"{address},{who}\n" for address, who in table.items()))
    new.replace(path)


def directory(path: Path, table: Table, _now: int) -> None:
    path.mkdir(exist_ok=True)
    for file in path.iterdir():
        if file.name not in table:
            file.unlink()
    for address, who in table.items():
        if not (path / address).exists() or (path / address).read_text() != who:
            (path / address).write_text(who)


def dnsmasq(path: Path, table: Table, _now: int) -> None:
    path.write_text("".join(f"{END} {MACS[who]} {address} {who} *\n" for address, who in table.items()))


def isc(path: Path, table: Table, _now: int) -> None:
    """Written anew, as dhcpd does each hour."""
    ends = strftime("%w %Y/%m/%d %H:%M:%S", gmtime(END))
    blocks = [
        f"lease {address} {{\n  ends {ends};\n  binding state active;\n  hardware ethernet {MACS[who]};\n"
        f'  client-hostname "{who}";\n}}\n'
        for address, who in table.items()
    ]
    _replace(path, "authoring-byte-order little-endian;\n" + "".join(blocks))


def kea(path: Path, table: Table, now: int) -> None:
    head = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
    lines = [f"{address},{MACS[who]},,{END - now},{END},1,0,0,{who},0,\n" for address, who in table.items()]
    _replace(path, head + "".join(lines))


def _replace(path: Path, text: str) -> None:
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


WRITERS: dict[str, Callable[[Path, Table, int], None]] = {
    "static": static,
    "directory": directory,
    "dnsmasq": dnsmasq,
    "isc": isc,
    "kea": kea,
}


class World:
    """One source, and a ledger."""

    def __init__(self, tmp_path: Path, kind: str) -> None:
        self.clock = TestClock(START_NS)
        self.record = Kept(tmp_path / "store", self.clock)
        self.path, self._kind, self._runtime = tmp_path / kind, kind, tmp_path

    def tell(self, **table: str) -> None:
        """Makes the source tell exactly this; ``a2`` is 10.0.0.2."""
        addresses = {f"10.0.0.{name[1:]}": who for name, who in table.items()}
        WRITERS[self._kind](self.path, addresses, self.clock.wall_ns // SECOND_NS)

    def learner(self) -> Learner:
        text = f'[attribution.x]\nsource = "{self._kind}"\npath = "{self.path}"\n'
        (wanted,) = loads(text, file="f").attribution.values()
        return make_learner("x", wanted, self.clock, runtime=self._runtime)

    def wait_for(self, **table: str) -> None:
        wanted = {f"10.0.0.{name[1:]}": who for name, who in table.items()}
        wait_until(lambda: self.record.now() == wanted, f"{wanted}, but {self.record.now()}")

    def pass_seconds(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND_NS)


@pytest.fixture(params=WRITERS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, request.param)


def test_what_it_tells_is_learnt_and_what_it_tells_again_is_not(world: World) -> None:
    world.tell(a2="alice", a3="bob")
    with running(world.learner(), world.record):
        world.wait_for(a2="alice", a3="bob")
        world.tell(a2="alice", a3="bob")
        world.pass_seconds(30)
        world.tell(a2="carol", a3="bob")
        world.wait_for(a2="carol", a3="bob")
        world.pass_seconds(30)
        world.tell(a3="bob", a4="alice")
        wait_until(lambda: "10.0.0.4" in world.record.now(), "the new one")
        world.pass_seconds(2)  # leases that are missing have a second to come back
        world.wait_for(a3="bob", a4="alice")
    spans = world.record.spans("10.0.0.2")
    assert [who for who, _, _ in spans] == ["alice", "carol"]
    # One follows the other without a gap.
    assert spans[0][2] == spans[1][1]
    assert len(world.record.facts()) == 5


def test_another_process_goes_on_where_the_last_one_ended(world: World) -> None:
    world.tell(a2="alice", a3="bob", a4="carol")
    with running(world.learner(), world.record):
        world.wait_for(a2="alice", a3="bob", a4="carol")
    world.pass_seconds(3600)
    world.tell(a2="alice", a3="carol")
    with running(world.learner(), world.record):
        wait_until(lambda: world.record.now()["10.0.0.3"] == "carol", "what has changed")
        world.pass_seconds(2)
        world.wait_for(a2="alice", a3="carol")
    assert len(world.record.facts()) == 5
    assert world.record.spans("10.0.0.2") == [("alice", NOW, None)]


def test_a_source_that_dies_leaves_what_it_has_told(world: World) -> None:
    world.tell(a2="alice")
    one = world.learner()
    with running(one, world.record):
        world.wait_for(a2="alice")
        gone = world.path.with_name("gone")
        world.path.rename(gone)
        wait_until(lambda: one.status().state is State.WAITING, "an end")
        error = one.status().error
        assert error is not None
        assert str(world.path) in str(error)
        world.pass_seconds(60)
        world.wait_for(a2="alice")
        gone.rename(world.path)
        world.tell(a2="bob")
        world.wait_for(a2="bob")
        wait_until(lambda: one.status().state is State.FOLLOWING, "a beginning")
        assert one.status().error is None


def test_a_ledger_that_refuses_ends_it_and_the_next_try_learns_all(world: World) -> None:
    world.tell(a2="alice")
    ledger = world.record.store / database.NAME
    away = ledger.with_name("away")

    def until_it_refuses() -> None:
        with running(world.learner(), world.record) as thread:
            world.wait_for(a2="alice")
            ledger.rename(away)
            world.tell(a2="bob")
            thread.join(60)
            assert not thread.is_alive()

    with pytest.raises(LedgerError):
        until_it_refuses()
    away.rename(ledger)
    with running(world.learner(), world.record):
        world.wait_for(a2="bob")


def test_claims_that_could_not_be_kept_are_told_again(tmp_path: Path) -> None:
    record = Kept(tmp_path / "store", TestClock(START_NS))
    standing, target = Standing(record.clock), Target.address("10.0.0.2")
    claims = Claims("x", record, standing)
    ledger = record.store / database.NAME
    ledger.rename(ledger.with_name("away"))
    with pytest.raises(LedgerError):
        claims.settle({target: Holder(subject="alice")})
    ledger.with_name("away").rename(ledger)
    assert (target in claims, standing.status().facts) == (False, 0)
    assert claims.settle({target: Holder(subject="alice")}) == 1
    assert claims.settle({target: Holder(subject="alice", detail={"more": "known"})}) == 0
    assert claims.settle_all({}) == 1
    assert claims.settle({target: Nobody()}) == 0
    assert (target in claims, standing.status().facts, record.cuts) == (False, 2, 3)


def test_a_clock_that_was_set_back_takes_nothing_back(tmp_path: Path) -> None:
    clock = TestClock(START_NS)
    record, target = Kept(tmp_path / "store", clock), Target.address("10.0.0.2")
    claims = Claims("x", record, Standing(clock))
    record.learn([Fact(target=target, valid_from_ns=0, valid_to_ns=START_NS, subject="zoe", source="x")])
    claims.settle({target: Holder(subject="alice")})
    clock.advance(-3600 * SECOND_NS)
    claims.settle({target: Holder(subject="bob")})
    assert record.spans("10.0.0.2") == [("zoe", 0, NOW), ("bob", NOW, None)]


@pytest.mark.parametrize(
    ("ago_ns", "is_believed"),
    [
        (-1, False),
        (0, False),
        (2 * SECOND_NS - 1, False),
        (2 * SECOND_NS, True),
        (TOLD_BACK_NS, True),
        (TOLD_BACK_NS + 1, False),
    ],
)
def test_a_time_that_is_told_is_believed_where_it_can_be(ago_ns: int, *, is_believed: bool) -> None:
    told_ns = START_NS - ago_ns
    assert moment(told_ns, START_NS) == (told_ns if is_believed else START_NS)
    assert moment(None, START_NS) == START_NS


def test_a_stop_ends_every_wait() -> None:
    stop = Stop()
    assert not stop.wait(0.001)
    stop.set()
    stop.set()
    assert stop.wait()
    assert stop.is_set()
    stop.close()


def test_reasons_of_what_is_refused_do_not_fill_the_memory() -> None:
    standing = Standing(TestClock(START_NS))
    for number in range(100):
        standing.refused(f"attribute {number} is odd", 2)
    standing.refused("attribute 7 is odd")
    status = standing.status()
    assert (status.refused, len(status.refused_reasons)) == (201, 33)
    assert status.refused_reasons["attribute 7 is odd"] == 3
    assert status.refused_reasons["other reasons"] == 136
