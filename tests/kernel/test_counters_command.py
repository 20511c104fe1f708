"""``netledger counters``: by root, by who may only ask the daemon, and at boot; ``report --counters`` at the end."""

import grp
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.live import Client
from tests.kernel.counter_space import V4_BYTES, Space
from tests.kernel.lab import Child, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

PROGRAM = str(Path(sys.executable).with_name("netledger"))
NOBODY = 65_534


class Counting(Space):
    """With a configuration for a daemon."""

    def configure(self) -> None:
        self.directory.chmod(0o755)
        (self.directory / "c.toml").write_text(
            f"""
node = "gw1"
store = "{self.directory}/store"
runtime = "{self.directory}/run"
[meters.rules]
source = "nfacct"
nfacct = {{ ensure = ["web", "mail"], nft = ["inet beside *"] }}
"""
        )

    def netledger(self, *words: str, before: tuple[str, ...] = ()) -> str:
        return self.run(self.here, [*before, PROGRAM, *words, "--config", str(self.directory / "c.toml")])

    def daemon(self) -> Child:
        child = self.spawn(self.here, [PROGRAM, "run", "--config", str(self.directory / "c.toml")])
        wait_for(lambda: "event=started" in child.errors() or not child.running, 20, "the daemon")
        assert child.running, child.errors()
        return child

    def stop(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        assert child.wait() == 0, child.errors()


@pytest.fixture
def space() -> Iterator[Counting]:
    with Counting() as made, made.inside(made.here):
        made.configure()
        yield made


def listed(text: str) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads(text)["counters"]}


def test_the_listing_is_the_kernels(space: Counting) -> None:
    for name in ("web", "mail"):
        nfacct.add(name, quota=nfacct.Quota(2, nfacct.Unit.PACKETS) if name == "web" else None)
    nfacct.add("odd\x1b[31m")
    space.rules("web", "mail")
    space.send("web", 3)
    found = listed(space.netledger("counters", "--json"))
    assert found["web"] == {
        "kind": "nfacct",
        "name": "web",
        "packets": 3,
        "bytes": 3 * V4_BYTES,
        "rules": 2,
        "quota": 2,
        "quota_unit": "packets",
        "over_quota": True,
    }
    assert (found["inet beside both"]["packets"], found["inet beside both"]["rules"]) == (3, 1)
    text = space.netledger("counters", "--sort", "name")
    assert "\x1b" not in text
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "name", "inet beside both", "inet beside mail", "inet beside web", "mail", "odd\\x1b[31m", "web",
    ]  # fmt: skip
    assert "2 packets, reached" in text
    assert list(listed(space.netledger("counters", "--json", "--name", "inet*web", "--name", "m*"))) == [
        "inet beside web",
        "mail",
    ]
    assert space.netledger("counters", "--top", "1").splitlines()[1:] == [
        "inet beside both  nft         3  384 B      1",
        "",
        "shown: 1 of 6 counters",
    ]


def test_who_may_not_ask_the_kernel_asks_the_daemon(space: Counting) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    lesser = ("setpriv", f"--reuid={NOBODY}", f"--regid={group}", "--clear-groups", "--bounding-set=-all")
    with pytest.raises(
        RuntimeError, match="run as root, or with CAP_NET_ADMIN; or start the daemon, which may be asked"
    ):
        space.netledger("counters", before=lesser)
    child = space.daemon()
    space.rules("web", "mail")
    space.send("mail", 4)
    Path(space.directory, "run").chmod(0o750)
    assert (
        space.netledger("counters", "list", "--json", before=lesser).partition('"counters"')[2]
        == space.netledger("counters", "--json").partition('"counters"')[2]
    )
    asked = Client(space.directory / "run").counters()
    assert {row.name: row.packets for row in asked.rows}["mail"] == 4
    stranger = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
    with pytest.raises(RuntimeError, match="run as root, or with CAP_NET_ADMIN; to ask the daemon: run it as root"):
        space.netledger("counters", before=stranger)
    space.stop(child)


def test_objects_go_on_over_a_restart_of_the_machine(space: Counting) -> None:
    child = space.daemon()
    assert "rules is counting: it makes its objects itself" in space.netledger("counters", "restore")
    space.rules("web", "mail")
    space.send("web", 5)
    space.stop(child)
    # As after a start of the machine: rules and objects are gone, and so is the runtime directory.
    space.no_rules()
    nfacct.flush()
    space.run(space.here, ["rm", "-r", str(space.directory / "run")])
    assert space.netledger("counters", "restore").splitlines() == [
        f"made web, with 5 packets, {5 * V4_BYTES} bytes",
        "made mail, with 0 packets, 0 bytes",
    ]
    assert space.netledger("counters", "restore").splitlines() == ["web is there", "mail is there"]
    space.rules("web", "mail")
    # Before the daemon runs: that is booked too.
    space.send("web", 3)
    child = space.daemon()
    space.send("web", 2)
    space.stop(child)
    report = json.loads(_report(space, "--json"))
    assert {row["name"]: row["packets"] for row in report["rows"]}["web"] == 10 == nfacct.get("web").packets
    assert report["balance"]["exact"] == report["balance"]["intervals"] == 2
    # Nothing of it is in a report of traffic.
    assert json.loads(_report(space, "--json", table=()))["rows"] == []


def test_a_ledger_that_cannot_be_read_keeps_no_firewall_from_being_loaded(space: Counting) -> None:
    (space.directory / "store").mkdir()
    (space.directory / "store" / "ledger.sqlite").write_text("no ledger")
    assert "made web, with 0 packets, 0 bytes" in space.netledger("counters", "restore")
    space.rules("web")


def test_a_daemon_that_is_killed_and_started_again_says_the_same_as_the_kernel(space: Counting) -> None:
    child = space.daemon()
    space.rules("web", "mail")
    space.send("web", 6)
    child.kill()
    space.send("mail", 2)
    child = space.daemon()
    space.send("web", 1)
    space.stop(child)
    audit = json.loads(space.netledger("audit", "--json", "--verify"))
    assert [(one["meter"], one["status"], one["table"]) for one in audit["intervals"]] == [
        ("rules", "exact", "counters")
    ] * 2
    assert (audit["balance"]["intervals"], audit["problems"]) == (0, [])
    rows = {row["name"]: row for row in json.loads(_report(space, "--json"))["rows"]}
    for name in ("web", "mail"):
        assert rows[name]["packets"] == rows[f"inet beside {name}"]["packets"] == space.kernel(name).packets
    status = json.loads(_status_of(space))
    assert status["is_running"] is False


def _report(space: Counting, *options: str, table: tuple[str, ...] = ("--counters",)) -> str:
    argv = [PROGRAM, "report", *table, *options, "--store", str(space.directory / "store"), "--period", "2020..2060"]
    # Exit code 3 here: the period is longer than the meter counts.
    return space.run(space.here, ["sh", "-c", f"{' '.join(argv)} || test $? = 3"])


def _status_of(space: Counting) -> str:
    return space.run(
        space.here, ["sh", "-c", f"{PROGRAM} status --json --config {space.directory}/c.toml || test $? = 1"]
    )
