"""What SECURITY.md says of privileges: CAP_NET_ADMIN is enough, the rest is given up, a refusal says why."""

import os
import re
import stat
import sys
from pathlib import Path
from signal import SIGHUP

import pytest

from tests.kernel import senders
from tests.kernel.lab import Lab
from tests.kernel.lesser import AS_SOMEBODY, SOMEBODY, THEIR_GROUP, LesserGateway, bounded, within_reach
from tests.kernel.senders import Udp

CAP_NET_ADMIN = 12
ONLY_NET_ADMIN = 1 << CAP_NET_ADMIN
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
ONLY_THAT = {name: {ONLY_NET_ADMIN} for name in SETS if name != "CapBnd"}

# Stands where nft is looked for first: tells what it may do, then is nft.
TELLING_NFT = """#!/bin/sh
grep -E '^(Cap|NoNewPrivs)' /proc/self/status >>{told}
PATH={path} exec nft "$@"
"""


def sets(status: str) -> dict[str, set[int]]:
    """The capability sets that a text of /proc/PID/status has, each with all its values."""
    return {name: {int(value, 16) for value in re.findall(rf"^{name}:\s*(\w+)", status, re.MULTILINE)} for name in SETS}


def without_bounds(status: str) -> dict[str, set[int]]:
    """The same without the bounding set: who may not cut it keeps what he was given, and can gain nothing by it."""
    return {name: values for name, values in sets(status).items() if name != "CapBnd"}


@pytest.fixture
def telling(lab: Lab) -> Path:
    """A directory with an nft that writes what it may do to ``told`` beside it."""
    lab.directory.chmod(0o755)
    told, directory = lab.directory / "told", lab.directory / "bin"
    told.touch()
    told.chmod(0o666)
    directory.mkdir()
    nft = directory / "nft"
    nft.write_text(TELLING_NFT.format(told=told, path=os.environ["PATH"]))
    nft.chmod(0o755)
    return directory


def count_with_a_new_meter(lab: Lab, gateway: LesserGateway) -> None:
    """Counts, asks for one more meter by HUP, counts on, stops; both books must balance."""
    lab.witness(lab.gw)
    gateway.start_counting()
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=2_000))
    gateway.write(gateway.file.read_text() + '\n[meters.all]\nsource = "nflog"\n')
    gateway.child.signal(SIGHUP)
    gateway.wait_until_counting("all")
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=1_000))
    threads = gateway.child.status_of_threads()
    assert threads.count("CapEff:") > 3
    assert gateway.stop() == 0
    for meter, packets in (("lan", 3_000), ("all", 1_000)):
        books = gateway.books(meter)
        assert books.problems() == []
        assert set(books.statuses) == {"exact"}
        assert books.accounted.packets == packets
    assert gateway.books().accounted == lab.counter(lab.gw, "witness", "total")
    assert without_bounds(threads) == ONLY_THAT
    assert set(re.findall(r"^NoNewPrivs:\s*(\d)", threads, re.MULTILINE)) == {"1"}


def test_root_gives_up_all_it_does_not_need_in_every_thread_and_in_what_it_runs(lab: Lab, telling: Path) -> None:
    gateway = LesserGateway(lab, path=telling)
    count_with_a_new_meter(lab, gateway)
    told = (telling.parent / "told").read_text()
    assert sets(told) == {name: {ONLY_NET_ADMIN} for name in SETS}
    assert set(re.findall(r"^NoNewPrivs:\s*(\d)", told, re.MULTILINE)) == {"1"}
    assert "event=privileges kept=CAP_NET_ADMIN bounding_set=cut" in gateway.log()


def test_a_container_that_may_not_cut_its_bounding_set_counts_all_the_same(lab: Lab, telling: Path) -> None:
    gateway = LesserGateway(lab, *bounded("net_admin", "net_raw", "chown"), path=telling)
    count_with_a_new_meter(lab, gateway)
    assert without_bounds((telling.parent / "told").read_text()) == ONLY_THAT
    assert 'kept=CAP_NET_ADMIN bounding_set="as it was"' in gateway.log()


def test_a_user_with_that_right_alone_counts_and_the_group_may_read(lab: Lab, telling: Path) -> None:
    gateway = LesserGateway(lab, *AS_SOMEBODY, path=telling)
    gateway.belongs_to_somebody()
    count_with_a_new_meter(lab, gateway)
    assert without_bounds((telling.parent / "told").read_text()) == ONLY_THAT
    made = [path for path in (*gateway.store.rglob("*"), *gateway.runtime.rglob("*")) if not path.is_symlink()]
    assert {path.stat().st_uid for path in made} == {SOMEBODY}
    wrong = [path for path in made if stat.S_IMODE(path.stat().st_mode) != (0o750 if path.is_dir() else 0o640)]
    assert wrong == []
    reader = ["setpriv", "--reuid=54323", f"--regid={THEIR_GROUP}", "--clear-groups", "--bounding-set=-all"]
    report = [sys.executable, "-m", "netledger", "audit", "--store", str(gateway.store), "--json"]
    assert '"lossy": 0' in lab.run(lab.gw, within_reach([*reader, *report], lab.directory / "view"))


def test_the_right_to_administer_the_network_is_enough(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = LesserGateway(lab, *bounded("net_admin"))
    child = gateway.start_counting()
    assert sets(child.status_of_threads())["CapEff"] == {ONLY_NET_ADMIN}
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=2_000))
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [interval.status for interval in books.intervals if interval.status != "exact"] == []
    assert books.accounted == lab.counter(lab.gw, "witness", "total")
    assert books.accounted.packets == 2_000


def test_without_it_the_refusal_says_what_is_missing(lab: Lab) -> None:
    child = LesserGateway(lab, *bounded()).start()
    assert child.wait() == 1
    assert "operation not permitted" in child.errors().lower()
    assert "CAP_NET_ADMIN" in child.errors()


@pytest.mark.parametrize("name", ["", "ledger.sqlite"])
def test_a_store_of_somebody_else_is_refused_with_its_owner(lab: Lab, name: str) -> None:
    gateway = LesserGateway(lab, *AS_SOMEBODY)
    gateway.belongs_to_somebody()
    gateway.start_counting()
    assert gateway.stop() == 0
    theirs = gateway.store / name
    os.chown(theirs, 0, 0)
    theirs.chmod(0o700)
    child = gateway.start()
    assert child.wait() == 1
    assert "read: permission denied" in child.errors()
    assert f"{theirs} belongs to root, and this runs as user {SOMEBODY}: run it as root" in child.errors()
    assert "Traceback" not in child.errors()
    os.chown(theirs, SOMEBODY, THEIR_GROUP)
    gateway.start_counting()
    assert gateway.stop() == 0
    # A life may hold a multiple of the interval, and so two of them.
    found = [one.seq for one in gateway.books().intervals]
    assert len(found) >= 2
    assert found == list(range(1, len(found) + 1))


def test_a_runtime_directory_of_somebody_else_is_refused_with_its_owner(lab: Lab) -> None:
    gateway = LesserGateway(lab, *AS_SOMEBODY)
    gateway.belongs_to_somebody()
    os.chown(gateway.runtime, 0, 0)
    child = gateway.start()
    assert child.wait() == 1
    assert f"{gateway.runtime}: open: permission denied" in child.errors()
    assert f"{gateway.runtime} belongs to root, and this runs as user {SOMEBODY}: run it as root" in child.errors()
    assert "Traceback" not in child.errors()
