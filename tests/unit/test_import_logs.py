"""``netledger import nacctd``: each line once, and each with its user."""

import gzip
import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from netledger.ledger.assignments import Assignments
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit import imports
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.test_cli_main import netledger
from tests.unit.test_import_command import receipts

DAY = ("--period", "2026-11-20", "--timezone", "UTC")
T = 1_795_186_013
"""2026-11-20 14:46:53 UTC."""
HOUR = 1_795_183_200
"""The whole hour before."""


def line(second: int, source: str, destination: str, octets: int, user: str = "unknown", *, port: int = 4000) -> str:
    """A line of the classic form."""
    return f"{second}\t17\t{source}\t{port}\t{destination}\t9000\t{octets}\tppp0\t{user}\n"


def written(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return path


LINES = [
    line(T, "10.50.0.2", "192.0.2.1", 1000, "alice"),
    line(T, "192.0.2.1", "10.50.0.2", 5000, "alice"),
    line(T, "10.9.0.1", "192.0.2.1", 128),
    line(T + 300, "192.0.2.1", "10.50.0.2", 700, "alice"),
    line(T + 3600, "192.0.2.1", "10.50.0.2", 40, "bob"),
]
BYTES = 6868


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def imported(store: Path, *words: object, status: int = 0) -> dict[str, object]:
    return imports.imported(store, "nacctd", *words, status=status)


def numbers(told: dict[str, object]) -> tuple[object, object, int]:
    return imports.counted(told, "lines", "known_lines")


def rows(store: Path, *words: str) -> list[tuple[object, ...]]:
    done = netledger("report", "--store", store, *DAY, *words, "--json")
    return sorted((tuple(one.values()) for one in json.loads(done.stdout)["rows"]), key=str)


def total(store: Path) -> int:
    return sum(one.accounted.bytes for one in Reader(store).snapshot().intervals)


def held(store: Path) -> list[tuple[str, str | None, int, int]]:
    facts = Assignments(store, TestClock(START_NS)).facts()
    assert {fact.source for fact in facts} == {"import"}
    return sorted(
        (str(fact.target), fact.subject, fact.valid_from_ns // 10**9, (fact.valid_to_ns or 0) // 10**9)
        for fact in facts
    )


def test_lines_become_rows_of_the_hour_in_which_they_were_written(tmp_path: Path, store: Path) -> None:
    told = imported(store, written(tmp_path / "net-acct.log", LINES))
    assert numbers(told) == (5, 0, 0)
    assert (told["bytes"], told["packets"], told["booked"]) == (BYTES, 0, 2)
    assert rows(store, "--by", "host,peer,protocol,host_port,peer_port,interface,label") == [
        ("10.50.0.2", "192.0.2.1", 17, 4000, 9000, "ppp0", "alice", 1000, 0, 0, 0),
        ("10.50.0.2", "192.0.2.1", 17, 9000, 4000, "ppp0", "alice", 0, 0, 5700, 0),
        ("10.50.0.2", "192.0.2.1", 17, 9000, 4000, "ppp0", "bob", 0, 0, 40, 0),
        ("10.9.0.1", "192.0.2.1", 17, 4000, 9000, "ppp0", None, 128, 0, 0, 0),
    ]
    spans = [(one.start_ns // 10**9, one.end_ns // 10**9) for one in Reader(store).snapshot().intervals]
    assert spans == [(T, HOUR + 3600), (HOUR + 3600, T + 3601)]
    assert verify(Reader(store)) == []


def test_users_are_assignments_of_their_addresses(tmp_path: Path, store: Path) -> None:
    imported(store, written(tmp_path / "net-acct.log", LINES))
    assert held(store) == [
        ("10.50.0.2", "alice", T, HOUR + 3600),
        ("10.50.0.2", "bob", HOUR + 3600, T + 3601),
    ]


def test_people_are_told_what_was_done(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path / "net-acct.log", [*LINES, "17951"])
    arguments = ("import", path, "--store", store, "--timezone", "UTC", "--node", "gw1")
    done = netledger(*arguments)
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (
        0,
        "",
        [
            "booked      5 lines of 1 file for nacctd on gw1, written 2026-11-20 14:46:53 +00:00 to "
            "2026-11-20 15:46:54 +00:00",
            "fields      time,proto,src,sport,dst,dport,bytes,device,user, found out from the lines",
            "packets     were not written: they are booked as 0",
            "intervals   2 of 1 h at most, with 4 rows",
            "accounted   0 packets, 6,868 bytes; unproven: there is no count to compare with",
            "users       2 users of 1 address, 2 new assignments, found out from the lines (--users-in says whose they "
            "are)",
            f"left alone  {path}:6: the last line has no end yet",
        ],
    )
    assert netledger(*arguments).stdout.splitlines()[0] == "booked      0 lines of 0 files for nacctd on gw1"


def test_the_receipt_says_where_it_comes_from_and_what_its_times_are(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path / "net-acct.log", LINES)
    imported(store, path, "--delay", "10m")
    first = receipts(store)[0]
    assert (first["status"], first["source"], first["reason"]) == (
        "unproven", "nacctd", f"imported from {path}, lines 1 to 4",
    )  # fmt: skip
    assert first["meaning"] == (
        "merged super-packets; the times are those of writing: up to 600 s after the traffic, and more after traffic "
        "without a pause; packets were not written"
    )
    told = first["import"]
    assert isinstance(told, dict)
    assert told["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["sha256"] == hashlib.sha256("".join(LINES[:4]).encode()).hexdigest()
    assert told["fields"] == "time,proto,src,sport,dst,dport,bytes,device,user"
    report = json.loads(netledger("report", "--store", store, *DAY, "--json").stdout)
    assert report["notes"] == ["packets were not written by an imported program, and are added up as 0: nacctd"]


def test_the_same_is_never_booked_twice(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path / "net-acct.log", LINES)
    assert numbers(imported(store, path)) == (5, 0, 0)
    assert numbers(imported(store, path)) == (0, 5, 0)
    packed = tmp_path / "net-acct.log.2.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert numbers(imported(store, packed, path)) == (0, 10, 0)
    assert numbers(imported(store, written(tmp_path / "all", [*LINES, *LINES]))) == (0, 10, 0)
    assert (total(store), len(held(store))) == (BYTES, 2)


def test_rotated_logs_may_come_in_any_order(tmp_path: Path, store: Path) -> None:
    many = [line(T + 7 * number, "10.50.0.2", "192.0.2.1", 100 + number, "alice") for number in range(3000)]
    parts = [many[:900], many[900:1000], many[1000:2500], many[2500:]]
    for number, part in enumerate(reversed(parts)):
        packed = gzip.compress("".join(part).encode())
        (tmp_path / f"net-acct.log.{number}.gz").write_bytes(packed)
    assert numbers(imported(store, tmp_path / "net-acct.log.1.gz")) == (1500, 0, 0)
    assert numbers(imported(store, tmp_path / "net-acct.log.3.gz")) == (900, 0, 0)
    assert numbers(imported(store, tmp_path)) == (600, 2400, 0)
    assert numbers(imported(store, written(tmp_path / "all", many))) == (0, 3000, 0)
    assert total(store) == sum(100 + number for number in range(3000))
    assert netledger("audit", "--store", store, "--verify").returncode == 0
    audit = json.loads(netledger("audit", "--store", store, "--json").stdout)
    assert [one["overlaps"] for one in audit["coverage"]] == [[]]


def test_a_log_that_grew_brings_what_is_new(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "net-acct.log"
    for number in range(1, len(LINES) + 1):
        # In the middle of a line too, for it is written in blocks.
        written(path, [*LINES[:number], *(rest[:30] for rest in LINES[number : number + 1])])
        assert numbers(imported(store, path)) == (1, number - 1, 0)
    assert total(store) == BYTES


def test_a_log_that_was_put_aside_within_a_second_is_refused_with_what_to_do(tmp_path: Path, store: Path) -> None:
    lines = [line(T + second, "10.50.0.2", "192.0.2.1", 1000 + second) for second in (0, 5, 5, 9)]
    before = written(tmp_path / "net-acct.log.1", lines[:2])
    after = written(tmp_path / "net-acct.log", lines[2:])
    told = imported(store, before, after, status=1)
    assert (told["lines"], total(store)) == (2, 2005)
    assert isinstance(told["refused"], list)
    (refused,) = told["refused"]
    assert (refused["place"], "join both parts" in refused["hint"]) == (f"{after}:1", True)
    imported(store, written(tmp_path / "joined", lines))
    assert total(store) == 4000 + 0 + 5 + 5 + 9
    again = imported(store, before, after)
    assert (again["lines"], again["known_lines"]) == (0, 4)


def test_a_log_that_was_changed_is_refused_and_the_others_are_not(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path / "net-acct.log", LINES)
    imported(store, path)
    written(path, [LINES[0].replace("1000", "1001"), *LINES[1:]])
    other = written(tmp_path / "net-acct.log.1", [line(T - 7200, "10.50.0.2", "192.0.2.1", 28)])
    told = imported(store, path, other, status=1)
    assert numbers(told) == (1, 0, 1)
    assert told["refused"] == [
        {
            "place": f"{path}:1",
            "why": f"lines of the seconds {T} to {T + 300} were imported with other content, from {path}",
            "hint": "was the file changed or cut since? what another machine or program counted goes to another "
            "--node or --meter",
        }
    ]
    # As after `tail`.
    assert numbers(imported(store, written(tmp_path / "tail", LINES[1:]), status=1))[0] == 0
    assert total(store) == BYTES + 28


@pytest.mark.parametrize(
    ("text", "number", "why"),
    [
        (LINES[0] + "rubbish\n", 2, "it has 1 fields, and a line has 9: time,"),
        (LINES[0] + "\n", 2, "it has 1 fields"),
        (LINES[0] + LINES[1].replace("192.0.2.1", "192.0.2.256"), 2, '"192.0.2.256" is no address'),
        (LINES[0] + LINES[1].replace("\t4000\t", "\t65536\t"), 2, '"65536" is no sport: at most 65535'),
        (LINES[0] + LINES[1].replace("\t17\t", "\t-1\t"), 2, '"-1" is no protocol number'),
        (LINES[0] + LINES[1].replace("\t5000\t", f"\t{2**64}\t"), 2, f'"{2**64}" is no bytes: at most {2**64 - 1}'),
        (LINES[0] + LINES[1].replace("\t5000\t", f"\t{2**64 - 1}\t"), 1, "what follows adds up to more than 64 bits"),
        (LINES[0] + LINES[1].replace(str(T), "9999999999"), 2, "9999999999 is no time"),
        (LINES[0] + "\0" * 100 + "\n", 2, r'it has 1 fields'),
        (LINES[0] + "x" * 5000 + "\n", 2, "the line is longer than any that nacctd writes"),
        (LINES[0][:-20] + LINES[1], 1, "it has "),
    ],
)  # fmt: skip
def test_a_line_that_is_not_as_it_should_be_is_refused_with_its_place(
    tmp_path: Path, store: Path, text: str, number: int, why: str
) -> None:
    path = written(tmp_path / "net-acct.log", [text])
    told = imported(store, path, "--fields", "time,proto,src,sport,dst,dport,bytes,device,user", status=1)
    assert isinstance(told["refused"], list)
    (refused,) = told["refused"]
    assert refused["place"] == f"{path}:{number}"
    assert refused["why"].startswith(why)
    assert not (store / "data").exists()


def test_an_address_that_changes_hands_divides_the_hour(tmp_path: Path, store: Path) -> None:
    lines = [
        line(T, "192.0.2.1", "10.50.0.2", 100, "alice", port=80),
        line(T, "192.0.2.2", "10.50.0.2", 100, "alice", port=80),
        line(T + 300, "192.0.2.1", "10.50.0.2", 200, "bob", port=80),
        line(T + 300, "192.0.2.1", "10.50.0.2", 400, "alice", port=25),
        line(T + 300, "10.50.0.2", "192.0.2.3", 800, "unknown", port=25),
        line(T + 600, "10.50.0.2", "192.0.2.3", 1600, "carol", port=25),
        line(T + 600, "192.0.2.1", "10.50.0.3", 3200, "alice", port=25),
    ]
    options = ("--users-in", "10.50.0.0/24")
    assert numbers(imported(store, written(tmp_path / "net-acct.log", lines), *options)) == (7, 0, 0)
    assert numbers(imported(store, tmp_path / "net-acct.log", *options)) == (0, 7, 0)
    intervals = Reader(store).snapshot().intervals
    assert len(intervals) == 4
    assert all(one.end_ns == two.start_ns for one, two in itertools.pairwise(intervals))
    by_holder: dict[str | None, int] = {}
    facts = Assignments(store, TestClock(START_NS)).facts()
    for one in intervals:
        for host, sent, received in rows_of_host(store, one.seq):
            (*_, holder) = [
                None,
                *(
                    fact.subject
                    for fact in facts
                    if str(fact.target) == host and fact.valid_from_ns <= one.start_ns and one.end_ns <= fact.end_ns
                ),
            ]
            by_holder[holder] = by_holder.get(holder, 0) + sent + received
    assert by_holder == {"alice": 3800, "bob": 200, None: 800, "carol": 1600}


def rows_of_host(store: Path, seq: int) -> list[tuple[str, int, int]]:
    (one,) = [one for one in Reader(store).snapshot().intervals if one.seq == seq]
    told = netledger("report", "--store", store, *DAY, "--by", "interval_start,host", "--json")
    start = json.loads(one.receipt)["interval_start"]
    found = [row for row in json.loads(told.stdout)["rows"] if row["interval_start"] == start]
    return [(row["host"], row["sent_bytes"], row["received_bytes"]) for row in found]


def test_an_import_that_was_killed_is_simply_repeated(tmp_path: Path, store: Path) -> None:
    # Two users of one address in every second: each hour is divided into many parts.
    lines = [
        line(T + 60 * number, "192.0.2.1", "10.50.0.2", 64 << (number % 20), ("alice", "bob")[number % 2], port=number)
        for number in range(200)
    ]
    path = written(tmp_path / "net-acct.log", lines)
    code = (
        "import os, signal, sys\n"
        "from netledger.ledger.store import Ledger\n"
        "commit, done = Ledger.commit, []\n"
        "def dying(self, *words, **more):\n"
        "    if len(done) == 17: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(1)\n"
        "    return commit(self, *words, **more)\n"
        "Ledger.commit = dying\n"
        "from netledger.cli.main import main\n"
        "main()\n"
    )
    words = ["import", "nacctd", str(path), "--store", str(store), "--node", "gw1", "--users-in", "10.50.0.2/32"]
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", code, *words], check=False).returncode == -9
    assert len(receipts(store)) == 51
    imported(store, path, "--users-in", "10.50.0.2/32")
    intervals = Reader(store).snapshot().intervals
    assert len(intervals) == 200
    assert [one.seq for one in intervals] == list(range(1, 201))
    assert all(one.end_ns == two.start_ns for one, two in itertools.pairwise(intervals))
    assert total(store) == sum(64 << (number % 20) for number in range(200))
    assert [user for _, user, _, _ in sorted(held(store), key=lambda one: one[2])] == ["alice", "bob"] * 100
    assert verify(Reader(store)) == []


def test_of_two_users_networks_the_one_is_taken_whose_lines_they_are(tmp_path: Path, store: Path) -> None:
    lines = [
        line(T, "10.50.0.9", "10.50.0.2", 100, "alice"),  # nobody has 10.50.0.9, so nacctd looked on
        *(line(T, "192.0.2.1", "10.50.0.2", 100, "alice", port=port) for port in range(3)),
        line(T, "10.50.0.2", "10.50.0.3", 100, "alice"),
        line(T, "10.50.0.3", "10.50.0.2", 100, "bob"),
        line(T, "192.0.2.1", "198.51.100.1", 100, "carol"),  # the table was another one
    ]
    imported(store, written(tmp_path / "net-acct.log", lines), "--users-in", "10.50.0.0/24")
    assert {(address, user) for address, user, _, _ in held(store)} == {
        ("10.50.0.2", "alice"), ("10.50.0.3", "bob"), ("192.0.2.1", "carol"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ipv6-bytes", "add-header"], "netledger: --ipv6-bytes: files of nacctd have nothing of the kind"),
        (["--users-not-in", "10.0.0.1"], "netledger: --users-not-in: an exception to what?"),
        (["--users-in", "10.0.0.1/8"], "netledger: --users-in 10.0.0.1/8: 10.0.0.1/8 has host bits set"),
        (["--delay", "soon"], "netledger: --delay soon: no duration"),
        (["--interval", "7m"], "netledger: --interval: 7 minutes do not divide a day"),
        (["--fields", "time,src"], "netledger: --fields time,src: neither count nor bytes"),
    ],
)
def test_what_is_asked_wrongly_is_refused(tmp_path: Path, store: Path, options: list[str], message: str) -> None:
    path = written(tmp_path / "net-acct.log", LINES)
    done = netledger("import", path, "--store", store, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert not store.exists()


def test_intervals_of_a_meter_have_one_length(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path / "net-acct.log", LINES)
    imported(store, path, "--interval", "5m")
    assert len(receipts(store)) == 3
    assert numbers(imported(store, path)) == (0, 5, 0)
    done = netledger("import", path, "--store", store, "--node", "gw1", "--interval", "1h")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--interval: what was imported into nacctd before has intervals of 300 s" in done.stderr


def test_what_lines_leave_open_other_files_may_tell(tmp_path: Path, store: Path) -> None:
    open_ = written(tmp_path / "a.log", [f"{T - 7200}\t6\t10.0.0.1\t1024\t10.0.0.2\t80\t2000\teth0\tunknown\n"])
    told = imported(store, open_, status=1)
    assert isinstance(told["refused"], list)
    (refused,) = told["refused"]
    assert refused["place"] == f"{open_}:1"
    assert refused["why"] == "its lines do not tell which fields they have"
    assert "--fields time,proto,src,sport,dst,dport,bytes,device,user or --fields" in refused["hint"]
    clear = written(tmp_path / "b.log", LINES)
    assert numbers(imported(store, open_, clear)) == (6, 0, 0)
