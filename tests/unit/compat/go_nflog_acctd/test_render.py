"""Rows in the bytes of the old program."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.exports.go_nflog_acctd import HEADER, Row, address_text, csv_chunks, is_ipv4, old_bytes
from tests.unit.compat.go_nflog_acctd.test_gotext import NOON, zone


def packed(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def csv(rows: list[Row], *, strict_bytes: bool = False) -> str:
    with zone("UTC"):
        return b"".join(csv_chunks(rows, start_ns=NOON, strict_bytes=strict_bytes)).decode()


@pytest.mark.parametrize(
    "text",
    ["10.9.0.2", "0.0.0.0", "255.255.255.255", "fd09::", "::", "::1", "2001:db8:1:2::", "2001:db8::1:0:0:1",  # noqa: S104 - text
     "2001:db8:1:2:3:4:5:6", "1:0:2:3:4:5:6:7", "::102:304",
     "2001:aaa:bbbb:ccc:dddd:eeee:f52:b974"],
)  # fmt: skip
def test_an_address_prints_as_in_go(text: str) -> None:
    assert address_text(packed(text)) == text


@given(st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\1\0", b"\xff\xff"]), min_size=8, max_size=8))
def test_any_ipv6_address_prints_as_the_rules_of_rfc_5952_say(words: list[bytes]) -> None:
    address = b"".join(words)
    if not is_ipv4(address):
        assert address_text(address) == ipaddress.IPv6Address(address).compressed


def test_an_empty_period_is_the_header_alone() -> None:
    assert csv([]) == HEADER.decode() == "Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets\n"


def test_rows_are_sorted_ipv4_first_by_number_and_the_rest_last() -> None:
    names = ["fd09::", "10.9.0.10", "2001:db8::", "10.9.0.2"]
    rows = [Row(None, 1, 2, 3, 4), *(Row(packed(name), 0, 0, 60, 1) for name in names)]
    found = [line.split(",")[1] for line in csv(rows).splitlines()[1:]]
    assert found == ["10.9.0.2", "10.9.0.10", "2001:db8::", "fd09::", "other"]


def test_a_row_has_the_start_of_its_period_and_four_numbers() -> None:
    row = Row(packed("10.9.0.2"), 1596, 7, 1280, 10)
    assert csv([row]).splitlines()[1] == "2026-11-20 12:00:00,10.9.0.2,1596,7,1280,10"


def test_ipv6_counts_its_header_unless_the_old_number_is_asked_for() -> None:
    rows = [Row(packed("fd09::"), 3 * 348, 3, 5 * 148, 5), Row(packed("10.9.0.2"), 1596, 7, 1280, 10)]
    assert csv(rows).splitlines()[2] == "2026-11-20 12:00:00,fd09::,1044,3,740,5"
    assert csv(rows, strict_bytes=True).splitlines()[1:] == [
        "2026-11-20 12:00:00,10.9.0.2,1596,7,1280,10",
        "2026-11-20 12:00:00,fd09::,924,3,540,5",
    ]


def test_the_old_number_is_never_negative() -> None:
    assert old_bytes(packed("fd09::"), bytes_=0, packets=3) == 0


@given(st.sets(st.binary(min_size=16, max_size=16), max_size=40))
def test_every_row_is_written_once_and_addresses_read_back(addresses: set[bytes]) -> None:
    lines = csv([Row(address, 1, 2, 3, 4) for address in addresses]).splitlines()[1:]
    assert {packed(line.split(",")[1]) for line in lines} == addresses
    assert len(lines) == len(addresses)


def test_many_rows_come_in_pieces_and_lose_nothing() -> None:
    rows = [Row(number.to_bytes(16, "big"), 1, 1, 1, 1) for number in range(10_000)]
    pieces = list(csv_chunks(rows, start_ns=NOON, strict_bytes=False))
    assert len(pieces) > 2
    assert b"".join(pieces).count(b"\n") == 10_001
