"""The export in the form of go-nflog-acctd gives the very file that the old program wrote of the same traffic."""

from dataclasses import replace
from pathlib import Path

import pytest

from netledger.exports.format import Side
from netledger.exports.go_nflog_acctd import PeriodFiles
from netledger.receipt import Count, parse_rfc3339
from netledger.reports.zones import find
from tests.compat.go_nflog_acctd.transcript import TRANSCRIPTS
from tests.unit.rows import RECEIPT, Row, row
from tests.unit.test_exports import committed

NAME = "2026-11-20-143404_2026-11-20-143408.csv"
# The traffic of the transcript: 10 and 5 packets out, 7 and 3 in, with IPv6's header counted.
TRAFFIC: list[Row] = [
    row("host", host="10.9.0.2", sent=(7 * 228, 7), received=(10 * 128, 10)),
    row("host", host="fd09::", sent=(3 * 348, 3), received=(5 * 148, 5)),
]


def recorded() -> tuple[str, list[str]]:
    """The name and the lines of the file in the transcript."""
    lines = (TRANSCRIPTS / "01-columns-and-byte-counts.txt").read_text().splitlines()
    start = lines.index(f"-- {NAME}")
    return lines[start].removeprefix("-- "), lines[start + 1 : lines.index("== stderr")]


def export(
    directory: Path, rows: list[Row], *, side: Side = "both", zone: str = "UTC", strict_bytes: bool = True
) -> dict[str, list[str]]:
    """The files of one interval, from 14:34:04 to 14:34:08."""
    times = {
        "start_ns": parse_rfc3339("2026-11-20T14:34:04.2Z"),
        "end_ns": parse_rfc3339("2026-11-20T14:34:08.9Z"),
    }
    writer = PeriodFiles(directory, side=side, zone=find(zone).rules, strict_bytes=strict_bytes)
    committed(rows, replace(RECEIPT, **times)).export(writer)  # type: ignore[arg-type]  # any field
    return {path.name: path.read_text().splitlines() for path in directory.iterdir()}


def test_name_columns_and_numbers_are_those_of_the_recorded_file(tmp_path: Path) -> None:
    name, lines = recorded()
    ((made, content),) = export(tmp_path / "acc", TRAFFIC).items()
    assert made == name
    assert content[0] == lines[0]
    # The old program writes its rows in no order.
    assert sorted(content[1:]) == sorted(lines[1:])


def test_the_same_in_order_to_the_byte(tmp_path: Path) -> None:
    export(tmp_path / "acc", TRAFFIC)
    assert (tmp_path / "acc" / NAME).read_bytes() == (
        b"Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets\n"
        b"2026-11-20 14:34:04,10.9.0.2,1596,7,1280,10\n"
        b"2026-11-20 14:34:04,fd09::,924,3,540,5\n"
    )


def test_ipv6_counts_its_header_unless_the_old_number_is_asked_for(tmp_path: Path) -> None:
    assert export(tmp_path, TRAFFIC, strict_bytes=False)[NAME][-1] == "2026-11-20 14:34:04,fd09::,1044,3,740,5"


def test_times_are_those_of_the_zone(tmp_path: Path) -> None:
    ((name, lines),) = export(tmp_path, TRAFFIC, zone="America/New_York").items()
    assert name == "2026-11-20-093404_2026-11-20-093408.csv"
    assert lines[1].startswith("2026-11-20 09:34:04,10.9.0.2,")


@pytest.mark.parametrize(
    ("side", "lines"),
    [
        ("source", ["10.0.0.1,9,2,0,0", "10.0.0.3,1,1,0,0", "other,5,1,0,0"]),
        ("destination", ["10.0.0.2,0,0,8,3", "10.0.0.3,0,0,1,1", "other,0,0,5,1"]),
        ("both", ["10.0.0.1,9,2,0,0", "10.0.0.2,0,0,8,3", "10.0.0.3,1,1,1,1", "other,5,1,5,1"]),
    ],
)
def test_hosts_are_added_up_over_other_columns_and_one_side_may_be_left_out(
    tmp_path: Path, side: Side, lines: list[str]
) -> None:
    rows = [
        row("external", sent=(8, 3), received=(9, 2)),
        row("host", host="10.0.0.1", peer="192.0.2.1", sent=(4, 1)),
        row("host", host="10.0.0.1", peer="192.0.2.2", sent=(5, 1)),
        row("host", host="10.0.0.2", protocol=6, received=(8, 3)),
        row("host", host="10.0.0.3", sent=(1, 1), received=(1, 1)),
        row("other", sent=(2, 0), received=(2, 0)),
        row("unattributed", sent=(3, 1), received=(3, 1)),
    ]
    found = export(tmp_path, rows, side=side)[NAME][1:]
    assert [line.split(",", 1)[1] for line in found] == lines


def test_an_interval_without_traffic_is_the_header(tmp_path: Path) -> None:
    nothing = replace(RECEIPT.observed, rows=0, kernel=Count(0, 0), accounted=Count(0, 0))
    writer = PeriodFiles(tmp_path, side="both", zone=find("UTC").rules, strict_bytes=False)
    committed([], replace(RECEIPT, observed=nothing)).export(writer)
    (path,) = tmp_path.iterdir()
    assert path.read_text() == "Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets\n"
