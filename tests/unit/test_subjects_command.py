"""`netledger subjects`, and subjects in `netledger report`, as a process: options, forms, exit codes."""

import csv
import io
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from netledger.reports.subject_names import nearest
from tests.unit.assigned import fact, learn
from tests.unit.booked import Booked, book
from tests.unit.rows import row
from tests.unit.test_cli_main import netledger


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [
        row("host", host="10.0.0.1", sent=(100, 1)),
        row("host", host="10.0.0.2", sent=(20, 2)),
        row("external", received=(120, 3)),
    ]
    made = book(
        tmp_path / "store",
        [Booked("2026-11-20T10:00:00Z", rows, seconds=3600), Booked("2026-11-20T11:00:00Z", rows, seconds=3600)],
    )
    learn(
        made,
        fact("10.0.0.1", "ann", "2026-11-20T11:00:00Z"),
        fact("10.0.0.9", "silent"),
        *(fact(f"10.0.1.{number}", "silent") for number in range(4)),
    )
    return made


PERIOD = "2026-11-20T10:00..2026-11-20T12:00"


def test_who_there_is_with_times_and_targets(store: Path) -> None:
    done = netledger("subjects", PERIOD, "--store", str(store), "--timezone", "UTC", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    rows = {(one["subject"], one["reason"]): one for one in answer["rows"]}
    assert list(rows) == [
        ("external", None),
        ("ann", None),
        ("unknown", "gap"),
        ("unknown", "no assignment"),
        ("silent", None),
    ]
    assert rows["ann", None] == {
        "subject": "ann",
        "reason": None,
        "sent_bytes": 100,
        "sent_packets": 1,
        "received_bytes": 0,
        "received_packets": 0,
        "first_seen": "2026-11-20T11:00:00Z",
        "last_seen": "2026-11-20T12:00:00Z",
        "targets": "10.0.0.1",
    }
    silent = rows["silent", None]
    assert (silent["sent_bytes"], silent["first_seen"]) == (0, None)
    assert silent["targets"] == "10.0.0.9 10.0.1.0 10.0.1.1 10.0.1.2 10.0.1.3"
    assert answer["total"]["sent_bytes"] == 240


def test_the_table_shows_some_targets_and_says_how_many_more(store: Path) -> None:
    done = netledger("subjects", PERIOD, "--store", str(store), "--timezone", "UTC")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split("  ")[0] == "subject"
    assert any(line.startswith("silent") and line.endswith("10.0.0.9 10.0.1.0 10.0.1.1 and 2 more") for line in lines)


def test_a_report_by_subject_in_all_its_forms(store: Path, tmp_path: Path) -> None:
    options = ("report", "--by", "subject", "--period", PERIOD, "--store", str(store), "--timezone", "UTC")
    table = netledger(*options)
    assert table.returncode == 0, table.stderr
    assert [line.split()[0] for line in table.stdout.splitlines()[:5]] == [
        "subject",
        "external",
        "ann",
        "unknown",
        "unknown",
    ]
    lines = list(csv.DictReader(io.StringIO(netledger(*options, "--csv", "--sort", "subject").stdout)))
    assert [(one["subject"], one["reason"], one["sent_bytes"]) for one in lines] == [
        ("ann", "", "100"),
        ("external", "", "0"),
        ("unknown", "gap", "100"),
        ("unknown", "no assignment", "40"),
    ]
    file = tmp_path / "subjects.parquet"
    assert netledger(*options, "--parquet", str(file), "--top", "1", "--sort", "sent_bytes").returncode == 0
    assert parquet.read_table(file).column("subject").to_pylist() == ["ann"]


def test_one_subject_is_by_subject_unless_something_else_is_asked_for(store: Path) -> None:
    options = ("report", "--subject", "ann", "--period", PERIOD, "--store", str(store), "--timezone", "UTC", "--csv")
    assert netledger(*options).stdout.splitlines()[1] == "ann,,100,1,0,0"
    by_host = netledger(*options, "--subject", "unknown", "--by", "host", "--sort", "host").stdout.splitlines()
    assert by_host[1:] == ["10.0.0.1,200,2,0,0", "10.0.0.2,40,4,0,0"]


def test_what_was_known_before_anything_was_said(store: Path) -> None:
    options = ("--store", str(store), "--timezone", "UTC", "--as-known-at", "2020-01-01")
    done = netledger("subjects", PERIOD, "--json", *options)
    answer = json.loads(done.stdout)
    assert [(one["subject"], one["reason"]) for one in answer["rows"]] == [
        ("external", None),
        ("unknown", "no assignment"),
    ]
    assert any("nothing was known of anybody at 2020-01-01" in one for one in answer["notes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--as-known-at", "2020-01-01"), "there is no question about subjects"),
        (("report", "--by", "subject", "--as-known-at", "once"), "--as-known-at once"),
        (("report", "--by", "reason"), "--by reason: no such column"),
        (("report", "--counters", "--subject", "ann"), "cannot go with"),
        (("subjects", "--sort", "host"), "not among the columns"),
        (("subjects", "--csv", "--json"), "only one of them"),
        (("read", "x.pcap", "--key", "host,subject"), "--key subject: a capture has no subjects"),
        (("read", "x.pcap", "--subject", "ann"), "--subject: a capture has no subjects"),
        (("read", "x.pcap", "--sort", "subject"), "--sort subject: a capture has no subjects"),
    ],
)
def test_what_means_nothing_is_refused(store: Path, arguments: tuple[str, ...], message: str) -> None:
    more = () if arguments[0] == "read" else ("--store", str(store))
    done = netledger(*arguments, *more)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    "words", [("report", "--by", "subject"), ("subjects",), ("assignments", "list")], ids=lambda words: words[0]
)
def test_what_will_be_known_is_not_asked_for(store: Path, words: tuple[str, ...]) -> None:
    done = netledger(*words, "--as-known-at", "2261-01-01T00:00Z", "--store", str(store))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "netledger: --as-known-at 2261-01-01T00:00Z: this is yet to come, and nobody knows what will be known\n"
        "hint: leave it out to go by what is known now\n"
    )
    assert "yet to come" not in netledger(*words, "--as-known-at", "now", "--store", str(store)).stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("report", "--subject", "an"), "did you mean ann?"),
        (("report", "--where", "subject!=SILENT"), "did you mean silent?"),
        (("assignments", "list", "--subject", "Ann"), "did you mean ann?"),
        (
            ("report", "--subject", "zebedee", "--by", "host"),
            "netledger subjects shows who had traffic, netledger assignments list who has something",
        ),
    ],
)
def test_who_is_not_known_at_all_is_told(store: Path, words: tuple[str, ...], hint: str) -> None:
    options = (*words, "--store", str(store), "--json")
    options = (*options, "--period", PERIOD, "--timezone", "UTC") if words[0] == "report" else options
    done = netledger(*options)
    name = next(word.rpartition("=")[2] for word in words if word.rpartition("=")[2].lower() in "an silent ann zebedee")
    assert done.stderr == f"netledger: subject {name}: no such subject is known\nhint: {hint}\n"
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert (rows["rows"] if isinstance(rows, dict) else rows) == [] or "!=" in words[-1]


def test_who_is_known_and_had_no_traffic_is_no_stranger(store: Path) -> None:
    names = ("--subject", "silent", "--subject", "unknown")
    done = netledger("report", *names, "--period", PERIOD, "--store", str(store), "--timezone", "UTC")
    assert (done.returncode, done.stderr) == (0, "")
    at = ("--as-known-at", "2020-01-01")
    done = netledger("report", *names, "--period", PERIOD, "--store", str(store), "--timezone", "UTC", *at)
    assert done.stderr.startswith("netledger: subject silent: no such subject is known\nhint: netledger subjects")


def test_the_nearest_of_many_names_begin_alike() -> None:
    many = [f"customer {number}" for number in range(20_500)]
    assert nearest("Customer 7", many)[0] == "customer 7"
    assert nearest("anb", [*many, "Ann", "ann"]) == ("Ann", "ann")
