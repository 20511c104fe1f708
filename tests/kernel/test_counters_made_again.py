"""Objects that netledger makes again with what they had: each meter books once what the kernel has counted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.errors import ObjectExistsError
from netledger.quotas.agree import agree
from netledger.quotas.definition import Definition, Unit
from netledger.quotas.keeper import Keeper
from netledger.quotas.objects import Objects
from netledger.receipt import Count as Booked
from netledger.sources.made import NAME, Register
from tests.kernel import quota_space
from tests.kernel.counter_space import V4_BYTES, Rules, Space, live
from tests.kernel.lab import Child, Count, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

MAIL = Definition(name="mail", limit=1_000_000, unit=Unit.BYTES)
PROGRAM = str(Path(sys.executable).with_name("netledger"))


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made, made.inside(made.here):
        yield made


def two_meters(space: Space) -> tuple[Rules, Rules]:
    """One that ensures web, and one that reads every object; with one runtime directory."""
    one = Rules.on(space.directory, objects=(), ensure=("web",), nft=())
    two = Rules.on(space.directory, nft=())
    two.config = replace(two.config, meter="all", runtime=two.config.runtime.with_name("all"))
    one.open()
    two.open()
    space.rules("web")
    return one, two


def delete(space: Space, *names: str) -> None:
    space.no_rules()
    for name in names:
        nfacct.delete(name)


def test_what_one_meter_makes_again_is_booked_once_by_the_other(space: Space) -> None:
    one, two = two_meters(space)
    space.send("web", 10)
    one.cut()
    two.cut()
    delete(space, "web")
    assert one.cut().rows["web"]["change"] == "remade"
    assert live("web") == Count(10, 10 * V4_BYTES)
    space.rules("web")
    space.send("web", 3)
    for meter in (one, two):
        told = meter.cut()
        assert told.rows["web"]["packets"] == 3
        assert meter.booked("web") == Count(13, 13 * V4_BYTES)
    assert two.told[-1].rows["web"]["change"] == "remade"
    assert "made by netledger with 10 packets" in str(two.told[-1].observed.interrupted)
    for meter in (one, two):
        assert meter.cut().observed.interrupted is None
        assert "interrupted" in meter.statuses()
        meter.close()


def test_what_the_other_had_not_read_yet_is_booked_by_both(space: Space) -> None:
    """The one that makes it again has seen 10, and the other 4 of them."""
    one, two = two_meters(space)
    space.send("web", 4)
    two.cut()
    space.send("web", 6)
    one.cut()
    delete(space, "web")
    one.cut()
    two.cut()
    for meter in (one, two):
        assert meter.booked("web") == Count(10, 10 * V4_BYTES)
        assert "interrupted" in meter.statuses()
        meter.close()


def test_what_was_told_as_gone_and_comes_again_is_booked_once(space: Space) -> None:
    one, two = two_meters(space)
    space.send("web", 10)
    one.cut()
    two.cut()
    delete(space, "web")
    assert two.cut().rows["web"]["change"] == "gone"
    assert "web" not in two.cut().rows
    one.cut()
    space.rules("web")
    space.send("web", 2)
    two.cut()
    one.cut()
    for meter in (one, two):
        assert meter.booked("web") == Count(12, 12 * V4_BYTES)
        meter.close()


def test_one_that_is_made_again_while_a_meter_is_dead_or_stopped(space: Space) -> None:
    one, two = two_meters(space)
    space.send("web", 10)
    one.cut()
    two.cut()
    two.close(keep_rules=True)
    delete(space, "web")
    one.cut()
    space.rules("web")
    space.send("web", 5)
    (told,) = two.open()
    assert (told.rows["web"]["packets"], told.rows["web"]["change"]) == (5, "remade")
    one.cut()
    for meter in (one, two):
        assert meter.booked("web") == Count(15, 15 * V4_BYTES)
        meter.close()


@pytest.mark.parametrize("is_cut_between", [True, False])
def test_a_count_that_somebody_else_puts_back_is_told_with_both_bounds(space: Space, *, is_cut_between: bool) -> None:
    _, two = two_meters(space)
    space.send("web", 10)
    two.cut()
    saved = subprocess.run(["nfacct", "list"], capture_output=True, text=True, check=True).stdout
    delete(space, "web")
    if is_cut_between:
        assert two.cut().rows["web"]["change"] == "gone"
    else:
        nfacct.add("younger")  # so that its place tells that it was made again
    subprocess.run(["nfacct", "restore"], input=saved, text=True, check=True)
    space.rules("web")
    space.send("web", 2)
    told = two.cut()
    assert (told.rows["web"]["packets"], told.rows["web"]["change"]) == (2, "remade")
    bounds = "between 2 packets (256 bytes) and 12 packets (1536 bytes) of these are new, and the least is booked"
    assert bounds in str(told.observed.interrupted)
    two.close()


def test_a_register_that_cannot_be_written_makes_no_double_booking(space: Space) -> None:
    """As when a command makes an object whose runtime directory is another."""
    one, two = two_meters(space)
    one.config = replace(one.config, runtime=space.directory / "elsewhere" / "rules")
    one.close()
    one.open()
    space.send("web", 10)
    one.cut()
    two.cut()
    delete(space, "web")
    one.cut()
    told = two.cut()
    # The youngest of all has as much as before: nothing can be seen, and nothing is booked.
    assert two.booked("web") == Count(10, 10 * V4_BYTES)
    delete(space, "web")
    assert two.cut().rows["web"]["change"] == "gone"
    one.cut()
    told = two.cut()
    assert (told.rows["web"]["packets"], str(told.observed.status)) == (0, "interrupted")
    assert "and 10 packets (1280 bytes) of these are new" in str(told.observed.interrupted)
    for meter in (one, two):
        meter.close()


def test_a_note_of_a_process_that_was_killed_before_it_made_the_object_decides_nothing(space: Space) -> None:
    _, two = two_meters(space)
    space.send("web", 10)
    two.cut()
    delete(space, "web")
    two.cut()
    script = (
        "import os,sys,pathlib\nfrom netledger.sources.made import Register\nfrom netledger.receipt import Count\n"
        "with Register(pathlib.Path(sys.argv[1])).making('web', Count(10, 1280), Count(10, 1280), 1):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    root = two.config.runtime.parent
    assert subprocess.run([sys.executable, "-c", script, root], check=False).returncode == -signal.SIGKILL
    with Register(root).steady() as noted:
        assert [(name, one.is_sure) for (_, name), one in noted.items()] == [("web", False)]
    nfacct.add("web", packets=12, octets=12 * V4_BYTES)
    told = two.cut()
    assert (told.rows["web"]["packets"], told.rows["web"]["change"]) == (2, "remade")
    assert "and 12 packets (1536 bytes) of these are new" in str(told.observed.interrupted)
    two.close()


def test_the_register_is_of_the_namespace_and_withdraws_what_somebody_else_made(space: Space) -> None:
    register = Register(space.directory)
    with register.making("web", Booked(5, 500)):
        nfacct.add("web", packets=5, octets=500)
    with pytest.raises(ObjectExistsError), register.making("web", Booked(9, 900)):
        nfacct.add("web", packets=9, octets=900)
    with register.steady() as noted:
        assert [(name, one.packets, one.is_sure) for (_, name), one in noted.items()] == [("web", 5, True)]
    with pytest.raises(ObjectExistsError), register.making("other", Booked(9, 900)):
        raise ObjectExistsError("other", "add", "it is there")
    with Register(space.directory).steady() as read_anew, register.steady() as noted:
        assert read_anew == noted
        assert len(noted) == 1
    with Space() as other, other.inside(other.here), Register(space.directory).steady() as noted:
        assert noted == {}
    assert (space.directory / NAME).stat().st_uid == os.geteuid()


def test_thousands_of_notes_are_read_as_they_were_written_and_the_file_stays_small(space: Space) -> None:
    register = Register(space.directory)
    for number in range(1_500):
        with register.making(f"n{number % 3}", Booked(number, number)):
            pass
    # A full disk has cut a line.
    with (space.directory / NAME).open("ab") as file:
        file.write(b'\n[1,"n0",17')
    with register.making("n1", Booked(7, 7)):
        pass
    with Register(space.directory).steady() as read_anew, register.steady() as noted:
        assert read_anew == noted
        assert {name: one.packets for (_, name), one in noted.items()} == {"n0": 1_497, "n1": 7, "n2": 1_499}
    assert len((space.directory / NAME).read_bytes().splitlines()) < 1_100


class Daemon:
    """With two meters that read the same objects, and a quota."""

    def __init__(self, space: Space) -> None:
        self._space = space
        directory = space.directory
        (directory / "c.toml").write_text(
            f'node = "gw1"\nstore = "{directory}/store"\nruntime = "{directory}/run"\n'
            '[meters.one]\nsource = "nfacct"\nnfacct = { objects = ["we*"], ensure = ["web"] }\n'
            '[meters.two]\nsource = "nfacct"\nnfacct = { objects = ["*"] }\n'
        )
        self._child: Child | None = None

    def start(self) -> None:
        child = self._child = self._space.spawn(self._space.here, [PROGRAM, "run", *self._config])
        wait_for(lambda: "event=started" in child.errors() or not child.running, 20, "the daemon")
        assert child.running, child.errors()

    @property
    def _config(self) -> list[str]:
        return ["--config", str(self._space.directory / "c.toml")]

    def netledger(self, *words: str) -> str:
        argv = [PROGRAM, *words, *self._config]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    def cut(self) -> None:
        """Until both intervals are committed."""
        assert self._child is not None
        before = self._child.errors().count("event=committed")
        self._child.signal(signal.SIGUSR1)
        self._until("event=committed", before + 2)

    def has_made(self, *names: str) -> bool:
        """Whether they are there; meters look while the status is asked for."""
        self.netledger("status")
        return {*names} <= {one.text for one in nfacct.list()}

    def _until(self, event: str, number: int) -> None:
        child = self._child
        assert child is not None
        wait_for(lambda: child.errors().count(event) >= number or not child.running, 20, event)
        assert child.running, child.errors()

    def stop(self) -> None:
        assert self._child is not None
        self._child.signal(signal.SIGTERM)
        assert self._child.wait() == 0, self._child.errors()

    def booked(self) -> dict[tuple[str, str], int]:
        told = json.loads(self.netledger("report", "--counters", "--json", "--by", "meter,name"))
        return {(row["meter"], row["name"]): row["packets"] for row in told["rows"]}


@pytest.fixture
def kept() -> Iterator[quota_space.Space]:
    with quota_space.Space() as made, made.inside(made.here):
        yield made


def with_a_quota(kept: quota_space.Space) -> tuple[Keeper, Rules]:
    """And a meter that reads its object."""
    objects = Objects(register=Register(kept.runtime))
    agree(kept.book(), objects, kept.clock, MAIL)
    kept.load(MAIL)
    keeper = Keeper(kept.book(), objects, kept.clock)
    keeper.look("look")
    meter = Rules.on(kept.directory, nft=())
    meter.open()
    return keeper, meter


def test_what_the_keeper_of_quotas_makes_again_is_booked_once(kept: quota_space.Space) -> None:
    keeper, meter = with_a_quota(kept)
    kept.send(10)
    keeper.look("look")
    meter.cut()
    delete_mail(kept)
    keeper.look("look")
    assert live("mail") == Count(10, 1_000)
    kept.load(MAIL)
    kept.send(4)
    told = meter.cut()
    assert (told.rows["mail"]["packets"], told.rows["mail"]["change"]) == (4, "remade")
    assert str(told.observed.status) == "interrupted"
    assert meter.booked("mail") == Count(14, 1_400)
    meter.close()


def test_what_the_keeper_has_read_and_the_meter_has_not_is_booked(kept: quota_space.Space) -> None:
    keeper, meter = with_a_quota(kept)
    kept.send(10)
    keeper.look("look")
    delete_mail(kept)
    keeper.look("look")
    meter.cut()
    assert meter.booked("mail") == Count(10, 1_000)
    meter.close()


def test_what_the_keeper_carries_into_an_object_is_not_booked_again(kept: quota_space.Space) -> None:
    keeper, meter = with_a_quota(kept)
    kept.send(10)
    keeper.look("look")
    meter.cut()
    nfacct.reset("mail")
    kept.send(3)
    keeper.look("look")
    assert meter.cut().rows["mail"]["change"] == "reset"
    kept.unload(MAIL)
    keeper.look("look")
    assert live("mail") == Count(13, 1_300)
    assert meter.cut().rows["mail"]["packets"] == 0
    kept.load(MAIL)
    kept.send(2)
    meter.cut()
    assert meter.booked("mail") == Count(15, 1_500)
    meter.close()


def delete_mail(kept: quota_space.Space) -> None:
    kept.unload(MAIL)
    nfacct.delete("mail")


def test_two_meters_and_a_quota_under_a_flush_of_all_objects(space: Space) -> None:
    daemon = Daemon(space)
    daemon.start()
    daemon.netledger("quota", "add", "mail", "1MB")
    space.rules("web", "mail")
    space.send("web", 10)
    space.send("mail", 10)
    daemon.cut()
    delete(space, "web", "mail")
    wait_for(lambda: daemon.has_made("web", "mail"), 20, "objects that are made again")
    assert live("web") == Count(10, 10 * V4_BYTES)
    daemon.cut()
    space.rules("web", "mail")
    space.send("web", 4)
    space.send("mail", 4)
    daemon.cut()
    daemon.stop()
    assert daemon.booked() == {("one", "web"): 14, ("two", "web"): 14, ("two", "mail"): 14}
