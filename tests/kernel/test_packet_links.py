"""Interfaces are followed as they come, go, are renamed and change what they are stacked on."""

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from netledger.errors import SourceError
from netledger.sources.packet_links import GONE_MAX, Follower, InterfaceChoice, Links
from netledger.sources.packet_twice import pairs
from tests.kernel.lab import Network, wait_for


class Machine(Network):
    """One namespace and no wire."""

    space = ""

    def _wire(self) -> None:
        self.space = self.namespace("alone")

    def ip(self, *lines: str) -> None:
        self.run(self.space, ["ip", "-batch", "-"], text="\n".join(lines) + "\n")


class Told:
    """What a follower has said last."""

    def __init__(self) -> None:
        self.links: Links = {}
        self.names: Mapping[int, str] = {}
        self.times = 0

    def __call__(self, links: Links, names: Mapping[int, str]) -> None:
        self.links, self.names = links, names
        self.times += 1

    def present(self) -> set[str]:
        return {link.name for link in self.links.values()}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as made:
        yield made


@pytest.fixture
def told(machine: Machine) -> Iterator[Told]:
    said = Told()
    follower = Follower(said)
    with machine.inside(machine.space):
        follower.open()
    try:
        yield said
        follower.check()
    finally:
        follower.close()


def followers() -> set[threading.Thread]:
    """The threads that follow interfaces; a test that failed may have left one."""
    return {thread for thread in threading.enumerate() if thread.name == "interfaces"}


def wait_until(condition: Callable[[], bool]) -> None:
    wait_for(condition, 10, "news")


def test_all_that_is_there_is_told_before_anything_happens(told: Told) -> None:
    assert told.present() == {"lo"}
    assert (told.times, dict(told.names)) == (1, {1: "lo"})
    assert told.links[1].is_loopback


def test_one_that_comes_is_renamed_and_goes(machine: Machine, told: Told) -> None:
    machine.ip("link add ppp7 type veth peer name far")
    wait_until(lambda: told.present() == {"lo", "ppp7", "far"})
    index = next(index for index, link in told.links.items() if link.name == "ppp7")
    machine.ip("link set ppp7 name isp0")
    wait_until(lambda: told.names[index] == "isp0")
    machine.ip("link del isp0")
    wait_until(lambda: told.present() == {"lo"})
    assert told.names[index] == "isp0", "its name is still known for packets that are on the way"


def test_to_leave_a_bridge_is_not_to_be_gone(machine: Machine, told: Told) -> None:
    machine.ip("link add br0 type bridge", "link add port type veth peer name far", "link set port master br0")
    choice = InterfaceChoice(excluded=("far",))
    wait_until(lambda: set(pairs(told.links, choice)) == {("port", "br0")})
    machine.ip("link set port nomaster")
    wait_until(lambda: not set(pairs(told.links, choice)))
    assert told.present() == {"lo", "br0", "port", "far"}


def test_what_is_stacked_on_a_card_sees_what_the_card_sees(machine: Machine, told: Told) -> None:
    machine.ip("link add card type veth peer name far", "link add link card name upper type macvlan")
    both = {frozenset({"upper", "card"}), frozenset({"card", "far"})}
    wait_until(lambda: {frozenset(pair) for pair in pairs(told.links, InterfaceChoice())} == both)
    assert not set(pairs(told.links, InterfaceChoice(only=("upper", "far"))))


def test_hundreds_at_once_are_all_told(machine: Machine, told: Told) -> None:
    names = {f"ppp{number}" for number in range(400)}
    machine.ip(*(f"link add ppp{number} type veth peer name ppp{number + 200}" for number in range(200)))
    wait_until(lambda: told.present() == {"lo", *names})
    assert told.times < 400, "they are gathered"
    machine.ip(*(f"link del ppp{number}" for number in range(200)))
    wait_until(lambda: told.present() == {"lo"})
    assert names <= set(told.names.values())
    assert len(told.names) <= GONE_MAX + 1


def test_it_ends_at_once_and_may_be_closed_again(machine: Machine) -> None:
    before = followers()
    follower = Follower(Told())
    follower.close()
    with machine.inside(machine.space):
        follower.open()
    assert len(followers() - before) == 1
    follower.close()
    follower.close()
    assert followers() <= before


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (SourceError("packet socket", "choose", "no room"), "packet socket: choose: no room"),
        (ZeroDivisionError(), "its thread has ended"),  # nobody foresaw it
    ],
)
def test_one_that_fails_says_so_when_it_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, failure: Exception, words: str
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    said: list[int] = []

    def fail(_links: Links, _names: Mapping[int, str]) -> None:
        said.append(1)
        if len(said) > 1:
            raise failure

    before = followers()
    follower = Follower(fail)
    with machine.inside(machine.space):
        follower.open()
    try:
        follower.check()
        machine.ip("link add one type veth peer name two")
        wait_until(lambda: len(said) > 1 and followers() <= before)
        with pytest.raises(SourceError, match=f"interfaces: follow: {words}"):
            follower.check()
    finally:
        follower.close()
