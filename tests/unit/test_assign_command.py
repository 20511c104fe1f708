"""``netledger assign``, ``unassign`` and ``assignments``: with a daemon and without."""

import csv
import json
import os
import threading
from pathlib import Path

import pytest

from netledger.errors import LiveError
from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger.assignments import Assignments
from netledger.live import Client
from netledger.receipt import parse_rfc3339, rfc3339
from tests.unit.rows import wait_until
from tests.unit.test_cli_main import netledger
from tests.unit.test_daemon import Run

DAY = ("--timezone", "UTC")
START = "2026-11-20T00:00:00Z"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, text='interval = "1d"\n[meters.lan]\ncut_on_assignment = true\n[meters.others]\n')


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "netledger.toml"
    path.write_text(f'node = "gw1"\nstore = "{tmp_path}/store"\nruntime = "{tmp_path}/run"\n')
    return path


def said(config: Path, *words: object, status: int = 0) -> str:
    done = netledger(*map(str, words), "--config", config)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def listed(config: Path, *words: object) -> list[tuple[str, str | None, str, str | None]]:
    told = json.loads(said(config, "assignments", "list", "--json", *words))
    return [(one["target"], one["subject"], one["valid_from"], one["valid_to"]) for one in told]


def test_without_a_daemon_it_is_written_here_and_a_ledger_is_begun(config: Path) -> None:
    words = ("--from", "2026-11-20T08:00", *DAY)
    text = said(config, "assign", "10.0.0.2", "alice", *words)
    assert text == "10.0.0.2 is alice's from 2026-11-20 08:00 +00:00 on\n"
    assert "that was said already" in said(config, "assign", "10.0.0.2/32", "alice", *words)
    said(config, "assign", "10.0.0.2", "bob", "--from", "2026-11-20T09:00Z", "--to", "2026-11-20T10:00Z")
    said(config, "unassign", "10.0.0.2", "--from", "2026-11-20T12:00", *DAY)
    assert listed(config) == [
        ("10.0.0.2", "alice", "2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z"),
        ("10.0.0.2", "bob", "2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"),
        ("10.0.0.2", "alice", "2026-11-20T10:00:00Z", "2026-11-20T12:00:00Z"),
    ]
    history = json.loads(said(config, "assignments", "list", "--history", "--json"))
    assert [one["subject"] for one in history] == ["alice", "bob", None]
    assert {one["detail"]["by"] for one in history} == {"root" if os.geteuid() == 0 else os.environ["USER"]}


def test_what_was_known_at_a_time_is_listed_as_it_was(config: Path) -> None:
    said(config, "assign", "10.0.0.2", "alice", "--from", "2026-11-20")
    learnt = Assignments(config.parent / "store", SystemClock()).facts()[0].learnt_ns
    said(config, "assign", "10.0.0.2", "bob", "--from", "2026-11-20")
    assert [one[1] for one in listed(config)] == ["bob"]
    assert [one[1] for one in listed(config, "--as-known-at", rfc3339(learnt))] == ["alice"]
    assert listed(config, "--as-known-at", rfc3339(learnt - 1)) == []


def test_the_list_is_of_what_speaks_of_an_address(config: Path) -> None:
    mac = "aa:bb:cc:dd:ee:ff"
    for target in ("10.0.0.2", "10.0.0.0/24", "10.0.1.0/24", "2001:db8::/48", "ppp0", "mark:7", mac):
        said(config, "assign", target, f"holder of {target}", "--from", "2026-11-20")
    assert [one[0] for one in listed(config, "10.0.0.2")] == ["10.0.0.0/24", "10.0.0.2"]
    assert [one[0] for one in listed(config, "10.0.0.0/16")] == ["10.0.0.0/24", "10.0.0.2", "10.0.1.0/24"]
    assert [one[0] for one in listed(config, "2001:db8:0:7::/64")] == ["2001:db8::/48"]
    assert [one[0] for one in listed(config, mac.upper())] == [mac]
    assert [one[0] for one in listed(config, "--subject", "holder of ppp0")] == ["interface:ppp0"]
    everything = [one[0] for one in listed(config)]
    assert everything[-3:] == [mac, "interface:ppp0", "mark:7"]
    heading, *lines = said(config, "assignments", "list", *DAY).splitlines()
    assert heading.split() == ["target", "subject", "from", "until", "source", "detail"]
    assert [line.split()[0] for line in lines] == everything


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["10.0.0.256", "alice"], "this is no address"),
        (["10.0.0.1/24", "alice"], "hint: the network is 10.0.0.0/24"),
        (["10.0.0.2", "unknown"], "this name has a meaning of its own"),
        (["10.0.0.2", "a\nb"], "cannot be seen"),
        (["10.0.0.2", "alice", "--from", "noon"], "--from noon: noon is no time"),
        (["10.0.0.2", "alice", "--from", "2026-11-20", "--to", "2026-11-19"], "it ends before it begins"),
    ],
)
def test_a_wrong_command_line_is_told_and_nothing_begun(config: Path, words: list[str], expected: str) -> None:
    assert expected in said(config, "assign", *words, status=2)
    assert not (config.parent / "store").exists()


def test_all_of_ipv6_has_nothing_of_ipv4(config: Path) -> None:
    said(config, "assign", "::/0", "six", "--from", "2026-11-20", *DAY)
    said(config, "assign", "0.0.0.0/0", "four", "--from", "2026-11-20", *DAY)
    assert [one[1] for one in listed(config, "10.0.0.2")] == ["four"]
    assert [one[1] for one in listed(config, "2001:db8::2")] == ["six"]
    assert [one[1] for one in listed(config, "::/0")] == ["six"]


def test_who_else_says_that_it_is_somebodys_is_told(config: Path) -> None:
    said(config, "assign", "10.0.0.2", "alice")
    told = Assignments(config.parent / "store", SystemClock()).facts()[0]
    from_isp = type(told)(target=told.target, valid_from_ns=0, subject="bob", source="isp")
    Assignments(config.parent / "store", SystemClock()).add([from_isp])
    done = netledger("unassign", "10.0.0.2", "--config", config)
    assert done.stderr == (
        "note: isp says that it is bob's, and goes on to\n"
        "hint: nobody follows isp any more: netledger assignments end isp\n"
    )


def test_without_a_daemon_only_what_is_ones_own_is_ended(config: Path) -> None:
    said(config, "assign", "10.0.0.2", "alice")
    assert "is not bob's; nothing was changed" in said(config, "unassign", "10.0.0.2", "--subject", "bob")
    assert "is nobody's" in said(config, "unassign", "10.0.0.2", "--subject", "alice")


def test_what_was_never_assigned_is_not_ended(config: Path) -> None:
    assert said(config, "unassign", "10.0.0.2") == "10.0.0.2 was not assigned; nothing was changed\n"
    said(config, "assign", "10.0.0.2", "alice")
    assert "is nobody's from" in said(config, "unassign", "10.0.0.2")
    assert "was not assigned" in said(config, "unassign", "10.0.0.2")
    assert json.loads(said(config, "unassign", "10.0.0.2", "--json"))["id"] == 0
    assert len(Assignments(config.parent / "store", SystemClock()).facts()) == 2


def test_an_interval_ends_only_where_something_ends(run: Run, config: Path) -> None:
    def meanwhile() -> None:
        wait_until(lambda: len(run.made) == 2 and run.made["lan"][0].calls == ["open"], "open sources")
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        for words in (["10.0.0.2"], ["10.0.0.2", "--subject", "alice"]):
            assert "nothing was changed" in said(config, "unassign", *words)
        said(config, "assign", "10.0.0.2", "alice")
        said(config, "unassign", "10.0.0.2", "--subject", "bob")

    assert run(meanwhile) == 0
    # One at alice's beginning, one at the end of the daemon.
    assert len(run.receipts("lan")) == 2


def test_with_a_daemon_the_interval_ends_where_the_fact_begins(run: Run, config: Path) -> None:
    found: list[dict[str, object]] = []

    def meanwhile() -> None:
        wait_until(lambda: len(run.made) == 2 and run.made["lan"][0].calls == ["open"], "open sources")
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        found.extend(json.loads(said(config, "assign", "10.0.0.2", name, "--json")) for name in ("alice", "bob"))
        assert "is not alice's; nothing was changed" in said(config, "unassign", "10.0.0.2", "--subject", "alice")
        said(config, "unassign", "10.0.0.2", "--subject", "bob")
        # A time that was given cuts nothing: what was then is over.
        said(config, "assign", "10.0.0.3", "carol", "--from", "2026-11-20T08:00")

    assert run(meanwhile) == 0
    moments = [parse_rfc3339(str(one["valid_from"])) for one in found]
    ends = [parse_rfc3339(str(one["interval_end"])) for one in run.receipts("lan")]
    assert ends[:2] == moments
    assert len(ends) == 4
    assert len(run.receipts("others")) == 1
    standing = [(one[0], one[1]) for one in listed(config)]
    assert standing == [("10.0.0.2", "alice"), ("10.0.0.2", "bob"), ("10.0.0.3", "carol")]


def test_a_hand_over_that_was_announced_ends_the_interval_when_it_comes(run: Run, config: Path) -> None:
    said(config, "assign", "10.0.0.3", "of before the start", "--from", "2026-11-20", "--to", "2200-01-01")
    moments: list[int] = []

    def meanwhile() -> None:
        wait_until(lambda: len(run.made) == 2 and run.made["lan"][0].calls == ["open"], "open sources")
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        moments.append((SystemClock().now().wall_ns // SECOND_NS + 3) * SECOND_NS)
        Client(run.tmp_path / "run").assign("10.0.0.2", "guest", start=START, end=rfc3339(moments[0]))
        wait_until(run.has_intervals(1, "lan"), "interval")

    assert run(meanwhile) == 0
    # On a machine that is busy it comes late, and says when it was.
    assert moments[0] <= parse_rfc3339(str(run.receipts("lan")[0]["interval_end"])) < moments[0] + 20 * SECOND_NS


def test_each_of_a_burst_begins_where_an_interval_ends_and_status_is_told_meanwhile(run: Run) -> None:
    client = Client(run.tmp_path / "run")
    failures: list[Exception] = []

    def assign(number: int) -> None:
        try:
            client.assign(f"10.0.0.{number}", f"user{number}")
        except LiveError as error:
            failures.append(error)

    def meanwhile() -> None:
        wait_until(lambda: len(run.made) == 2 and run.made["lan"][0].calls == ["open"], "open sources")
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        threads = [threading.Thread(target=assign, args=(number,)) for number in range(1, 13)]
        for thread in threads:
            thread.start()
        assert client.status().node == "gw1"
        for thread in threads:
            thread.join(30)

    assert run(meanwhile) == 0
    assert failures == []
    facts = Assignments(run.tmp_path / "store", SystemClock()).facts()
    assert len(facts) == 12
    ends = [parse_rfc3339(str(one["interval_end"])) for one in run.receipts("lan")]
    assert {fact.valid_from_ns for fact in facts} <= set(ends)


def test_a_daemon_of_another_store_writes_nothing_and_it_is_written_here(run: Run, config: Path) -> None:
    other = run.tmp_path / "other"

    def meanwhile() -> None:
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        done = netledger("assign", "10.0.0.2", "alice", "--config", config, "--store", other)
        assert (done.returncode, "the daemon keeps another store" in done.stderr) == (0, True)

    assert run(meanwhile) == 0
    assert len(Assignments(other, SystemClock()).facts()) == 1
    assert Assignments(run.tmp_path / "store", SystemClock()).facts() == []


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "assign"},
        {"do": "erase", "target": "10.0.0.2"},
        {"do": "assign", "target": 7},
        {"do": "assign", "target": "10.0.0.2", "subject": "alice", "of": "bob"},
        {"do": "assign", "target": "10.0.0.256", "subject": "alice"},
        {"do": "assign", "target": "10.0.0.2", "subject": "unknown"},
        {"do": "assign", "target": "10.0.0.2", "subject": "a", "from": "noon"},
        {
            "do": "assign",
            "target": "10.0.0.2",
            "subject": "a",
            "from": "2026-11-20T00:00:00Z",
            "to": "2026-11-19T00:00:00Z",
        },
        {"do": "assign", "target": "10.0.0.2", "subject": "a", "source": "isp"},
    ],
)
def test_what_the_daemon_cannot_do_it_refuses(run: Run, wish: dict[str, object]) -> None:
    client = Client(run.tmp_path / "run")

    def meanwhile() -> None:
        wait_until((run.tmp_path / "run" / "netledger.sock").exists, "socket")
        head, rest = client._ask(wish)  # type: ignore[arg-type]  # what no client of ours would say
        assert (list(json.loads(head)), rest) == (["error"], [])

    assert run(meanwhile) == 0
    assert Assignments(run.tmp_path / "store", SystemClock()).facts() == []


def test_an_import_says_all_mistakes_with_their_lines_and_does_nothing(config: Path) -> None:
    table = config.parent / "who.csv"
    lines = [
        "address,subject,from,to",
        "10.0.0.2,alice,2026-11-20,",
        "10.0.0.256,bob,,",
        "# a remark",
        "",
        "10.0.0.3,other,,",
    ]
    lines += [
        "10.0.0.4,dave,noon,",
        "10.0.0.5,erin,2026-11-20,2026-11-19",
        "10.0.0.2,frank,2026-11-20,",
        "10.0.0.6,a,b,c,d",
    ]
    table.write_text("\n".join(lines))
    told = said(config, "assignments", "import", table, "--from", "2026-11-20", *DAY, status=1).splitlines()
    mistakes = [line.removeprefix(f"{table}:") for line in told if not line.startswith("hint: ")]
    assert mistakes == [
        "3: 10.0.0.256: this is no address",
        "6: subject other: this name has a meaning of its own",
        "7: from noon: noon is no time",
        "8: 10.0.0.5: it ends before it begins",
        "9: line 2 says of the same address and time that it is alice's",
        "10: there are more values than columns",
        "nothing of 7 lines is imported",
    ]
    assert not (config.parent / "store").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"subject,addres\n", "nobody knows the column 'addres'"),
        (b"subject,from\n", "no column is called address"),
        (b"ip,user\n10.0.0.2,alice\n", "hint: an interface is written interface:ip"),
        (b"subject,address,target\n", "two columns say the target"),
        (b"address,subject\n10.0.0.2,\xff\n", ":2: not UTF-8"),
        (b'address,subject\n10.0.0.2,"alice\n', ":2: unexpected end of data"),
        (b'address,subject,detail\n10.0.0.2,alice,"[1]"\n', ":2: its detail is no object of texts"),
        (b"address,subject\n10.0.0.2,a\x00b\n", ":2: "),
        (b"10.0.0.2,alice\n10.0.0.3", ":2: it ends before its subject"),
        (b"address;subject\n10.0.0.2;alice\n", "hint: values are divided by commas, as in 10.0.0.2,alice"),
        (b"ip,user\n10.0.0.2,alice\n", "a heading has the words target (or address), subject, from, to"),
        (b"address,from,subject\n10.0.0.2,2026-11-20\n", ":2: it ends before its subject"),
    ],
)
def test_a_file_that_is_none_is_refused(config: Path, content: bytes, expected: str) -> None:
    table = config.parent / "who.csv"
    table.write_bytes(content)
    assert expected in said(config, "assignments", "import", table, status=1)


def test_a_quotation_mark_in_a_remark_hides_no_line(config: Path) -> None:
    table = config.parent / "who.csv"
    table.write_text('# was 10.0.0.9,"carol\n10.0.0.2,alice\n  # and "\n10.0.0.3,"bob, b"\n')
    said(config, "assignments", "import", table, "--from", "2026-11-20", *DAY)
    assert [one[:2] for one in listed(config)] == [("10.0.0.2", "alice"), ("10.0.0.3", "bob, b")]


def test_a_file_that_is_not_there_is_told(config: Path) -> None:
    assert "no such file" in said(config, "assignments", "import", config.parent / "gone.csv", status=1)


def test_a_table_is_imported_once_and_what_a_list_printed_is_known(config: Path, tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    with table.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "address", "from", "to"])
        writer.writerows([f"user {n}", f"10.{n >> 8}.{n & 255}.1", "2026-11-20T08:00", ""] for n in range(2000))
        writer.writerow(["", "10.0.7.1", "2026-11-20T10:00", "2026-11-20T11:00"])
    words = ("assignments", "import", table, *DAY)
    assert "2,001 lines, none of them wrong" in said(config, *words, "--dry-run")
    assert not (tmp_path / "store").exists()
    assert said(config, *words) == "2,001 lines: 2,001 new, 0 said already\n"
    assert said(config, *words) == "2,001 lines: 0 new, 2,001 said already\n"
    said(config, "assign", "10.0.0.9", "alice")
    printed = tmp_path / "printed.csv"
    printed.write_text(said(config, "assignments", "list", "--csv"))
    assert (
        said(config, "assignments", "import", printed, "--json")
        == json.dumps({"lines": 2002, "added": 0, "mistakes": []}, indent=2) + "\n"
    )
    assert listed(config, "10.0.7.1") == [
        ("10.0.7.1", "user 7", "2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z"),
        ("10.0.7.1", "user 7", "2026-11-20T11:00:00Z", None),
    ]


def test_who_begins_later_has_it_from_then_on_in_whatever_order_the_lines_are(config: Path) -> None:
    table = config.parent / "who.csv"
    lines = ["10.0.0.2,carol,2026-11-20T12:00,", "10.0.0.2,alice,2026-11-20T08:00,", "10.0.0.2,bob,2026-11-20T10:00,"]
    for order in (lines, lines[::-1]):
        table.write_text("\n".join(order))
        said(config, "assignments", "import", table, *DAY)
        assert [one[1:] for one in listed(config)] == [
            ("alice", "2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z"),
            ("bob", "2026-11-20T10:00:00Z", "2026-11-20T12:00:00Z"),
            ("carol", "2026-11-20T12:00:00Z", None),
        ]


def test_a_table_without_a_heading_is_address_subject_from_to(config: Path) -> None:
    table = config.parent / "who.csv"
    table.write_text("\ufeff10.0.0.2,alice\r\n10.0.0.3,bob,2026-11-20\r\n")
    said(config, "assignments", "import", table, "--from", "2026-11-01", *DAY)
    assert [one[1:] for one in listed(config)] == [
        ("alice", "2026-11-01T00:00:00Z", None),
        ("bob", "2026-11-20T00:00:00Z", None),
    ]


@pytest.mark.parametrize("address", ["10.0.0.2", "10.0.0.0/24", "2001:db8::7", "aa:bb:cc:dd:ee:ff"])
def test_an_address_in_the_place_of_the_name_is_refused(config: Path, address: str) -> None:
    assert said(config, "assign", "alice", address, status=2) == (
        f"netledger: subject {address}: this is an address, and alice is none\n"
        f"hint: the address comes first: {address} alice; an interface of this name is interface:alice\n"
    )
    said(config, "assign", "interface:ppp0", address)
    assert [target for target, *_ in listed(config)] == ["interface:ppp0"]


def test_a_target_that_no_row_has_is_told(config: Path) -> None:
    def note(target: str) -> str:
        return netledger("assign", target, "alice", "--config", str(config)).stderr

    assert note("ppp0") == "note: no meter has interface in its key, so its traffic is not told apart\n"
    assert note("mark:7") == "note: no meter has mark in its key, so its traffic is not told apart\n"
    assert note("10.0.0.2") == ""
    with config.open("a") as file:
        file.write('[meters.lines]\nkey = ["host", "interface"]\n')
    assert note("ppp0") == ""
    assert note("mark:7").startswith("note: no meter has mark")
