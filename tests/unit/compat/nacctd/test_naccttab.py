"""The file naccttab: every keyword, every message, and what is refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netledger.compat.nacctd.naccttab import Headers, Network, Table, parse
from netledger.compat.nacctd.said import Level
from tests.compat.nacctd.transcript import names, transcript

MINIMAL = b"file /l\ndumpfile /d\ndebugfile /b\nheaders eth 14 12\n"
ALL_ONES = 0xFFFF_FFFF
# The old program fell over these; here they are refused.
CRASHED = {"06-err-hostlimit-3-octets.txt", "06-err-hostlimit-empty.txt"}


def table_of(more: bytes) -> Table:
    table = parse(MINIMAL + more).table
    assert table is not None
    return table


def refusal_of(text: bytes) -> str:
    parsed = parse(text)
    assert parsed.table is None
    assert parsed.said[-1].level is Level.ERR
    return parsed.said[-1].text


@pytest.mark.parametrize("name", [name for name in names() if name not in CRASHED])
def test_the_recorded_messages_come_in_the_recorded_order(name: str) -> None:
    recorded = transcript(name)
    parsed = parse(recorded.naccttab.encode())
    said = [(24 | each.level, "nacctd", each.text) for each in parsed.said if each.level is not Level.WARNING]
    assert said == list(recorded.said[1 : 1 + len(said)])
    is_refused = (27, "nacctd", "error reading config file\n") in recorded.said
    assert (parsed.table is None) == is_refused


def test_the_settings_have_their_old_defaults() -> None:
    assert table_of(b"") == Table(file="/l", dumpfile="/d", debugfile="/b", headers=(Headers("eth", 14, 12),))
    assert (Table().flush_seconds, Table().fdelay_seconds, Table().errdelay_cycles, Table().debug) == (300, 60, 3, 0)
    assert Table().ignoremask == ALL_ONES


def test_lists_grow_and_everything_else_is_as_its_last_line_says() -> None:
    table = table_of(
        b"file /other\nflush 1\nflush 2\ndisable 7\ndisable 10\nnotdev lo\nnotdev eth1\niflimit eth0\ndevice eth0\n"
        b"hostlimit 1.2.3.4\nignorenet 10.0.0.0 255.0.0.0\nignorenet 127.0.0.0 255.0.0.0\ndontignore 10.1.0.0\n"
        b"dynamicnet 1.0.0.0 255.0.0.0\ndynamicnet 2.0.0.0 255.0.0.0\ndynamicip /a//\nline ppp0 ttyS0\n"
        b"exclude-name-lookup 2.0.0.1\nerrdelay 0\nignoremask 255.255.255.0\nheaders ppp 0 0\n"
    )
    assert (table.file, table.flush_seconds, table.errdelay_cycles) == ("/other", 2, 0)
    assert table.disabled == {7, 10}
    assert (table.notdevs, table.iflimits, table.devices) == (("lo", "eth1"), ("eth0",), ("eth0",))
    assert table.hostlimits == (0x01020304,)
    assert table.ignorenets == (Network(0x0A000000, 0xFF000000), Network(0x7F000000, 0xFF000000))
    assert table.dontignores == (Network(0x0A010000, ALL_ONES),)
    assert table.dynamicnet == Network(0x02000000, 0xFF000000)
    assert (table.dynamicip, table.lines) == ("/a/", (("ppp0", "ttyS0"),))
    assert table.ignoremask == 0xFFFFFF00
    assert [each.prefix for each in table.headers] == ["eth", "ppp"]


def test_blanks_inside_a_file_name_stay() -> None:
    assert table_of(b"file \t /a b/c  d \t # the log\r\n").file == "/a b/c  d"


def test_a_name_that_is_not_utf8_stays_what_it_is() -> None:
    assert table_of(b"file /\xff\n").file.encode("utf-8", "surrogateescape") == b"/\xff"


def test_a_long_line_is_one_line() -> None:
    name = b"/" + b"x" * 2000
    assert table_of(b"file " + name + b"\n").file == name.decode()


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"flush", 0), (b"flush abc", 0), (b"flush 0x10", 0), (b"flush -5", -5), (b"flush 12x", 12), (b"flush +3", 3)],
)
def test_numbers_are_read_as_atoi_does(text: bytes, number: int) -> None:
    assert table_of(text).flush_seconds == number


@pytest.mark.parametrize(
    "keyword", ["ignorenet", "dontignore", "exclude-name-lookup", "dynamicnet", "dynamicip", "headers", "device",
                "iflimit", "notdev", "hostlimit", "line"],
)  # fmt: skip
def test_a_keyword_without_its_value_is_refused_with_its_line(keyword: str) -> None:
    assert refusal_of(MINIMAL + keyword.encode()) == f"config file: invalid {keyword} statement in line 5\n"


@pytest.mark.parametrize("value", ["10.20.0", "1.2.3", "300.1.1.1", "1.2.3.-4"])
def test_a_hostlimit_that_is_no_address_is_refused_instead_of_a_crash(value: str) -> None:
    said = refusal_of(MINIMAL + f"hostlimit {value}".encode())
    assert said == "config file: invalid hostlimit statement in line 5\n"


def test_a_hostlimit_may_be_octal_or_hexadecimal() -> None:
    assert table_of(b"hostlimit 010.20.0.0x1").hostlimits == (0x08140001,)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (b"masqif 10.0.0.1", "masqif"),
        (b"dynamicip /x", "without dynamicnet"),
        (b"dynamicip /x\ndynamicnet 1.0.0.0\nline ppp0 tty1", "beside line"),
        (b"headers eth 22 20", "eth:22:20"),
    ],
)
def test_what_has_no_effect_is_warned_of_once(more: bytes, word: str) -> None:
    warnings = [each.text for each in parse(MINIMAL + more).said if each.level is Level.WARNING]
    assert len(warnings) == 1
    assert word in warnings[0]


def test_headers_are_known_by_the_beginning_of_a_name() -> None:
    table = table_of(b"headers e 0 0")
    assert [table.has_headers(name) for name in ("eth0", "ens3", "ppp0", "")] == [True, True, False, False]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    parsed = parse(data)
    assert (parsed.table is None) == any(each.level is Level.ERR for each in parsed.said)


KEYWORDS = (
    "file",
    "flush",
    "disable",
    "ignorenet",
    "hostlimit",
    "headers",
    "line",
    "device",
    "ignoremask",
    "Debug",
    "x",
)


@example([("ignorenet", "\x1f")])
@given(st.lists(st.tuples(st.sampled_from(KEYWORDS), st.text(max_size=20)), max_size=8))
def test_any_value_of_a_keyword_is_read_or_refused(lines: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{keyword} {value}" for keyword, value in lines).encode("utf-8", "surrogatepass")
    parsed = parse(MINIMAL + text)
    assert (parsed.table is None) == any(each.level is Level.ERR for each in parsed.said)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("ignoremask 255.255.255", "the mask 255.255.255 has holes: it is 255.255.0.255"),
        ("ignoremask 0xffffff00", None),
        ("ignoremask 255.255.255.255", None),
        ("ignoremask 0.0.0.0", None),
        ("ignorenet 10.0.0.0/8", "10.0.0.0/8 is no address: 255.255.255.255 stands for it"),
        ("ignorenet 10.0.0.300 255.0.0.0", "10.0.0.300 is no address: 255.255.255.255 stands for it"),
        ("dontignore 10.9.0.1 255.255.0.0", "no address is in 10.9.0.1 with the mask 255.255.0.0"),
        ("dontignore 10.9.0.1", None),
        ("dynamicnet 10.9.0.0 255.0.255.0", "the mask 255.0.255.0 has holes: it is 255.0.255.0"),
        ("exclude-name-lookup 10.9.0.0 24", "the mask 24 has holes: it is 0.0.0.24"),
    ],
)
def test_a_network_that_cannot_be_meant_is_warned_of_with_its_line(text: str, warning: str | None) -> None:
    parsed = parse(MINIMAL + text.encode())
    assert parsed.table is not None
    warnings = [each.text for each in parsed.said if each.level is Level.WARNING]
    assert warnings[:1] == ([] if warning is None else [f"config: line 5: {warning}\n"])
