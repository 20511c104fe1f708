"""``netledger quota`` as far as it asks no kernel: what is refused, and what the ledger tells."""

import json
from pathlib import Path

import pytest

from netledger.ledger.quota_facts import Told
from netledger.quotas.book import Book
from netledger.quotas.definition import Definition, Every, Unit, Verdict
from netledger.quotas.state import Reading, What, counted, period_told
from netledger.receipt import ZERO, Count, parse_rfc3339
from netledger.reports.periods import Period
from tests.unit.memory_source import TestClock
from tests.unit.store import opened
from tests.unit.test_cli_main import netledger

NOON = "2026-11-20T12:00:00Z"
# No kernel has an object of this name.
GUEST = Definition(
    name="guest_of_a_test",
    limit=10_000_000_000,
    unit=Unit.BYTES,
    every=Every.MONTH,
    billing_day=15,
    timezone="Europe/Berlin",
    command=("/bin/echo", "a b"),
    verdict=Verdict.DROP,
    addresses=("192.0.2.7",),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a store with one quota, which was reached and whose command has failed."""
    clock = TestClock(parse_rfc3339(NOON))
    with opened(tmp_path / "store", clock=clock):
        pass
    book = Book(tmp_path / "store", "gw1", clock)
    period = GUEST.period(clock.wall_ns)
    told = {"definition": GUEST.told(), "base": counted(ZERO), **period_told(period)}
    book.write_all(GUEST.name, [(What.ADDED, told)])
    added = book.states[GUEST.name].added.id
    reading = Reading(Count(9, GUEST.limit), clock.wall_ns, "", added)
    what = {**counted(reading.count), "by": "event", "limit": GUEST.limit, **period_told(period)}
    reached = book.write_all(GUEST.name, [(What.REACHED, what)], reading=reading)[0]
    book.write(GUEST.name, What.COMMAND_STARTED, {"of": reached.id, "boot_id": "b", "command": list(GUEST.command)})
    ended: Told = {
        "of": reached.id,
        "result": "failed",
        "code": 3,
        "signal": None,
        "seconds": 0.1,
        "output": "no\nmore\x1b[0m",
    }
    book.write(GUEST.name, What.COMMAND_ENDED, ended)
    path = tmp_path / "c.toml"
    path.write_text(f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n')
    return path


def test_a_list_tells_how_each_stands(config: Path) -> None:
    done = netledger("quota", "list", "--json", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    (one,) = json.loads(done.stdout)
    assert one["name"] == GUEST.name
    assert (one["used"], one["limit"], one["is_reached"]) == (GUEST.limit, GUEST.limit, True)
    assert (one["used_at"], one["reached_at"]) == (NOON, NOON)
    assert (one["period_start"], one["period_end"]) == ("2026-11-14T23:00:00Z", "2026-12-14T23:00:00Z")
    assert one["last_command"]["result"] == "failed"
    assert one["is_object_there"] in (False, None)  # None: this user may not ask
    table = netledger("quota", "list", "--config", config).stdout.splitlines()
    assert table[0].split() == ["quota", "kind", "used", "limit", "%", "begins", "anew", "state"]
    assert "10.00 GB  10.00 GB  100  2026-12-15 00:00 +01:00 (Europe/Berlin)  reached" in table[1]
    assert f"{GUEST.name}: its last command: failed" in table


def test_events_are_told_in_their_order_a_line_each(config: Path) -> None:
    lines = netledger("quota", "events", "--timezone", "Europe/Berlin", "--config", config).stdout.splitlines()
    assert [line.split()[4] for line in lines] == ["added", "reached", "command_started", "command_ended"]
    assert lines[1].startswith(f"2026-11-20 13:00 +01:00 {GUEST.name} reached 9 packets, 10,000,000,000 bytes by=event")
    assert lines[3].endswith("result=failed code=3 output=no\\nmore\\x1b[0m")
    told = [json.loads(line) for line in netledger("quota", "events", "--json", "--config", config).stdout.splitlines()]
    assert told[1]["told"]["period_end"] == "2026-12-14T23:00:00Z"
    assert netledger("quota", "events", "nobody", "--config", config).stdout == ""


def test_a_rule_is_printed_and_nothing_else(config: Path) -> None:
    text = netledger("quota", "rule", GUEST.name, "--config", config).stdout
    assert "iptables -w -A guest_of_a_test-c -m nfacct --nfacct-name guest_of_a_test -j DROP\n" in text
    assert "ip6tables" not in text


def test_a_quota_that_is_not_there_is_an_error(config: Path) -> None:
    done = netledger("quota", "list", "nobody", "--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "netledger: quota nobody: there is no quota of this name\nhint: there are: guest_of_a_test\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["guest", "10"], "LIMIT 10: not an amount with its unit"),
        (["guest", "10GB", "--kind", "ipset"], "--kind ipset: not possible here"),
        (["guest", "10GB", "--every", "fortnight"], "--every fortnight: not possible here"),
        (["guest", "10GB", "--verdict", "accept"], "--verdict accept: not possible here"),
        (["guest", "10GB", "--table", "filter"], "--table filter: not a family and a table"),
        (["guest", "10GB", "--table", "inet filter; flush"], "not a family and a table"),
        (["guest", "10GB", "--timezone", "Mars"], "no such time zone"),
        (["guest", "10GB", "--address", "somewhere"], "--address somewhere: no address or network"),
        (["guest", "10GB", "--", "ls", "-l"], "command ls: no absolute path"),
        (["guest", "10GB", "--", "/nonexist/x"], "command /nonexist/x: it is not there, or cannot be run\nhint: put"),
        (["guest", "10GB", "--", "/etc/passwd"], "command /etc/passwd: it is not there, or cannot be run"),
        (["guest", "10GB", "--", "/etc"], "command /etc: it is not there, or cannot be run"),
        (["guest", "10GB", "--json", "--print-rule"], "--json: not with --print-rule"),
        (["guest;id", "10GB"], "NAME guest;id: no name of a quota"),
        (["guest", "5 packets", "--kind", "nft"], "--kind nft: it counts bytes, not packets"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_touched(
    tmp_path: Path, words: list[str], complaint: str
) -> None:
    done = netledger("quota", "add", "--store", tmp_path / "store", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_was_ever_counted_there_are_no_quotas(tmp_path: Path) -> None:
    assert netledger("quota", "list", "--store", tmp_path / "store").stdout == "no quotas\n"
    assert netledger("quota", "events", "--store", tmp_path / "store").stdout == ""
    assert netledger("quota", "restore", "--store", tmp_path / "store").returncode == 0
    assert netledger("quota", "restore", "--json", "--store", tmp_path / "store").stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


def test_a_period_that_nobody_closed_is_told(config: Path) -> None:
    """By the clock of this machine the period of the fixture may be over or not: one that is long over is added."""
    one = Definition(name="old_one_of_a_test", limit=7, unit=Unit.PACKETS, every=Every.DAY)
    book = Book(config.parent / "store", "gw1", TestClock(0))
    told = {"definition": one.told(), "base": counted(ZERO), **period_told(Period(0, 86_400 * 10**9))}
    book.write_all(one.name, [(What.ADDED, told)])
    book.note({one.name: Reading(ZERO, 2 * 86_400 * 10**9, "", book.states[one.name].added.id)})
    text = netledger("quota", "list", one.name, "--config", config).stdout
    assert f"{one.name}: its period is over and was not closed" in text
