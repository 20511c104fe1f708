"""Who has which address: what a file, a directory and utmp say."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nacctd.holders import logged_in, name_in, rows_with_users
from netledger.compat.nacctd.looking import place_of
from netledger.compat.nacctd.naccttab import Table, parse

MINIMAL = "file /l\ndumpfile /d\ndebugfile /b\nheaders eth 14 12\n"
LAN, PEER, LINK, CLIENT = 0x0A090001, 0x0A090002, 0x0A320001, 0x0A320002


def table_of(more: str) -> Table:
    table = parse((MINIMAL + more).encode()).table
    assert table is not None
    return table


def user_of(table: Table, holders: dict[str, str], source: int, destination: int, device: str = "ppp0") -> str | None:
    return next(rows_with_users([(source, destination, device)], holders, table))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"alice\n", "alice"),
        (b"alice", "alice"),
        (b"bob  the builder\nsecond line\n", "bob  the builder"),
        (b"a\tb\rc\n", "a b c"),
        (b"\xff\n", "\udcff"),
        (b"", None),
        (b"\nalice\n", None),
        (b" \t\n", None),
        (b"x" * 300, "x" * 255),
    ],
)
def test_a_user_is_the_first_line_of_a_file(content: bytes, name: str | None) -> None:
    assert name_in(content) == name


@given(st.binary(max_size=300))
def test_no_user_breaks_the_columns(content: bytes) -> None:
    name = name_in(content)
    assert name is None or not set(name) & {"\t", "\n", "\r", "\0"}


def test_the_source_goes_before_the_destination() -> None:
    table = table_of("dynamicip /x\ndynamicnet 0.0.0.0 0.0.0.0\n")
    holders = {"10.51.0.2": "dst51", "10.9.0.1": "lan", "10.9.0.2": "lan2"}
    assert user_of(table, holders, LAN, PEER) == "lan"
    assert user_of(table, holders, 0x0A330001, 0x0A330002) == "dst51"
    assert user_of(table, holders, LINK, CLIENT) is None


def test_only_addresses_of_the_dynamic_network_have_users_and_excluded_ones_have_none() -> None:
    table = table_of("dynamicip /x\ndynamicnet 10.50.0.0 255.255.0.0\nexclude-name-lookup 10.50.0.1\n")
    holders = {"10.50.0.1": "server", "10.50.0.2": "alice", "10.9.0.1": "lan"}
    assert user_of(table, holders, LINK, CLIENT) == "alice"
    assert user_of(table, holders, CLIENT, LINK) == "alice"
    assert user_of(table, holders, LAN, LINK) is None


def test_a_directory_names_the_users_of_its_addresses(tmp_path: Path) -> None:
    for name, text in {"10.50.0.2": "alice\n", "10.50.0.3": "", "10.50.0.04": "no\n", "10.9.0.1": "lan\n",
                       "ppp0.pid": "17\n", "10.50.0.9x": "no\n"}.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "10.50.0.5").mkdir()
    os.mkfifo(tmp_path / "10.50.0.6")
    (tmp_path / "10.50.0.7").symlink_to(tmp_path / "10.50.0.2")
    (tmp_path / "10.50.0.8").symlink_to(tmp_path / "nowhere")
    table = table_of(f"dynamicip {tmp_path}\ndynamicnet 10.50.0.0 255.255.0.0\n")
    assert place_of(table).look(0) == {"10.50.0.2": "alice", "10.50.0.7": "alice"}


def entry(line: str, user: str, kind: int = 7) -> bytes:
    return struct.pack("=hxxi32s4s32s", kind, 1, line.encode(), b"", user.encode()).ljust(384, b"\0")


def test_utmp_names_the_user_of_a_line_cut_to_eight_characters() -> None:
    utmp = entry("ttyS0", "averylongusername") + entry("ttyS1", "bob", kind=8) + entry("ttyS2", "carol") + b"torn"
    lines = (("ppp0", "ttyS0"), ("ppp1", "ttyS1"), ("ppp2", "ttyS2"), ("ppp3", "ttyS9"))
    assert logged_in(utmp, lines) == {"ppp0": "averylon", "ppp2": "carol"}


def test_only_interfaces_without_headers_are_looked_up_in_utmp(tmp_path: Path) -> None:
    utmp = tmp_path / "utmp"
    utmp.write_bytes(entry("ttyS0", "alice"))
    for more, user in (("line ppp0 ttyS0\n", "alice"), ("line ppp0 ttyS0\nheaders ppp 0 0\n", None)):
        table = table_of(more)
        holders = place_of(table, utmp=str(utmp)).look(0)
        assert user_of(table, holders, LINK, CLIENT) == user
        assert user_of(table, holders, LINK, CLIENT, "ppp1") is None


def test_without_the_user_column_nobody_is_looked_up(tmp_path: Path) -> None:
    table = table_of(f"dynamicip {tmp_path}\ndynamicnet 0.0.0.0 0.0.0.0\ndisable 10\n")
    (tmp_path / "10.9.0.1").write_text("lan\n")
    assert place_of(table).watched is None
    assert place_of(table).look(0) == {}


def test_a_file_that_was_written_again_within_the_same_tick_is_read_again(tmp_path: Path) -> None:
    table = table_of(f"dynamicip {tmp_path}\ndynamicnet 10.50.0.0 255.255.0.0\n")
    place, file = place_of(table), tmp_path / "10.50.0.2"
    file.write_text("alice\n")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    assert place.look(file.stat().st_ctime_ns) == {"10.50.0.2": "alice"}
    file.write_text("carol\n")
    os.utime(file, ns=times)
    assert place.look(file.stat().st_ctime_ns) == {"10.50.0.2": "carol"}
