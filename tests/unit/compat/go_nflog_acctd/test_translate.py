"""Their options in the words of the source, and the source's rows in theirs."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from netledger.compat.go_nflog_acctd.options import Options, parse_options
from netledger.compat.go_nflog_acctd.translate import config_of, rows_of_batch, runtime_directory
from netledger.exports.go_nflog_acctd import Row
from netledger.sources.base import Key
from netledger.sources.nflog_groups import GivenGroup
from tests.unit.compat.go_nflog_acctd.test_render import packed

COUNTERS = ("sent_bytes", "sent_packets", "received_bytes", "received_packets")


def options(*words: str) -> Options:
    return parse_options(words)


def batch(hosts: Sequence[bytes | None]) -> pa.RecordBatch:
    accounts = ["other" if host is None else "host" for host in hosts]
    columns = {
        "account": pa.array(accounts, pa.dictionary(pa.uint8(), pa.string())),
        "host": pa.array(hosts, pa.binary(16)),
    }
    for place, name in enumerate(COUNTERS):
        columns[name] = pa.array([10 * row + place for row in range(len(hosts))], pa.uint64())
    return pa.record_batch(list(columns.values()), names=list(columns))


def test_groups_account_one_side_and_one_ip_version_each() -> None:
    words = ("-ip4-dst-group=4", "-ip4-src-group=5", "-ip6-dst-group=6", "-ip6-src-group=7")
    assert config_of(options(*words), Path("/x")).groups == (
        GivenGroup(number=4, account="destination", strict_family=4, copy_range_bytes=20),
        GivenGroup(number=5, account="source", strict_family=4, copy_range_bytes=20),
        GivenGroup(number=6, account="destination", strict_family=6, copy_range_bytes=48),
        GivenGroup(number=7, account="source", strict_family=6, copy_range_bytes=48),
    )


def test_prefixes_longer_than_an_address_keep_all_of_it() -> None:
    found = config_of(options("-ip4-prefix-length=40", "-ip6-prefix-length=200"), Path("/x"))
    assert found.key == Key(columns=("host",), ipv4_prefix_length=32, ipv6_prefix_length=128)


@pytest.mark.parametrize(("words", "level"), [((), 0), (("-verbose",), 1), (("-debug",), 2)])
def test_no_more_is_noted_than_will_be_told(words: tuple[str, ...], level: int) -> None:
    assert config_of(options(*words), Path("/x")).trace == level


def test_the_runtime_directory_follows_the_log_directory_and_not_how_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    first, same, other = (
        runtime_directory(options("-log-directory", str(tmp_path / name))) for name in ("a", "b", "c")
    )
    assert first == same != other
    assert first.parent == Path("/run/netledger")


def test_without_root_the_runtime_directory_is_in_the_log_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert runtime_directory(options("-log-directory", "/x")) == Path("/x/.netledger")
    assert runtime_directory(options("-log-directory", "/x", "-runtime-directory", "/y")) == Path("/y")


def test_rows_keep_their_numbers_and_what_has_no_address_is_none() -> None:
    hosts = [packed("10.9.0.2"), None, packed("fd09::")]
    assert rows_of_batch(batch(hosts)) == [
        Row(hosts[0], 0, 1, 2, 3),
        Row(None, 10, 11, 12, 13),
        Row(hosts[2], 20, 21, 22, 23),
    ]


def test_a_part_of_a_batch_gives_its_own_rows() -> None:
    hosts = [packed(f"10.9.0.{host}") for host in range(20)]
    assert rows_of_batch(batch(hosts).slice(9, 3)) == rows_of_batch(batch(hosts))[9:12]


def test_no_rows_are_no_rows() -> None:
    assert rows_of_batch(batch([])) == []
