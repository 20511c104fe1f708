"""What is printed: the old bytes, or documents that can be read."""

import json
from collections.abc import Iterator
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nfacct.arguments import Form
from netledger.compat.nfacct.formats import line, pieces
from netledger.nfacct import Counter, Quota, Unit

PLAIN = Counter(b"http", 5, 600)
OVER = Counter(b"pq", 5, 640, quota=Quota(3, Unit.PACKETS), over_quota=True)
UNDER = Counter(b"bq", 0, 0, quota=Quota(256, Unit.BYTES))

NUMBERS = st.integers(0, 2**64 - 1)
NAMES = st.binary(min_size=1, max_size=31).filter(lambda name: b"\0" not in name)
QUOTAS = st.none() | st.builds(Quota, NUMBERS, st.sampled_from(Unit))
COUNTERS = st.lists(
    st.builds(
        lambda name, packets, octets, quota, over: Counter(name, packets, octets, 1, quota, over and quota is not None),
        NAMES, NUMBERS, NUMBERS, QUOTAS, st.booleans(),
    ),
    max_size=4,
    unique_by=lambda counter: counter.name,
)  # fmt: skip


def text(counters: list[Counter], form: Form, *, is_strict: bool = False) -> bytes:
    return b"".join(pieces(counters, form, timestamp_seconds=1_795_185_619, is_strict=is_strict))


def test_lines_are_the_old_ones() -> None:
    assert text([PLAIN, OVER, UNDER], "plain") == (
        b"{ pkts = 00000000000000000005, bytes = 00000000000000000600 } = http;\n"
        b"{ pkts = 00000000000000000005, bytes = 00000000000000000640, quota = 00000000000000000003, mode = packet, "
        b"overquota = yes } = pq;\n"
        b"{ pkts = 00000000000000000000, bytes = 00000000000000000000, quota = 00000000000000000256, mode = byte, "
        b"overquota = no } = bq;\n"
    )


def test_json_is_the_old_but_for_what_was_none() -> None:
    begin = b'{ "timestamp" : 1795185619, \n  "nfacct_counters" : [\n'
    http = b'  { "pkts" : 5, "bytes" : 600, "name" : "http" }'
    quota = b'  { "pkts" : 5, "bytes" : 640, "quota" : 3, "mode" = "packet", "overquota" = 1, "name" : "pq" }'
    assert text([PLAIN], "json") == text([PLAIN], "json", is_strict=True) == begin + http + b"\n] }\n"
    assert text([PLAIN, OVER], "json", is_strict=True) == begin + http + b",\n" + quota + b"\n] }\n"
    assert text([PLAIN, OVER], "json") == begin + http + b",\n" + quota.replace(b"=", b":") + b"\n] }\n"
    assert (text([], "json"), text([], "json", is_strict=True)) == (begin + b"] }\n", b"")


def test_xml_is_the_old_and_has_quotas() -> None:
    begin = b'<?xml version="1.0" encoding="utf-8"?>\n<nfacct>\n'
    http = b"<name>http</name><pkts>00000000000000000005</pkts><bytes>00000000000000000600</bytes>"
    under = b"<name>bq</name><pkts>00000000000000000000</pkts><bytes>00000000000000000000</bytes>"
    quota = b"<quota>00000000000000000256</quota><mode>byte</mode><overquota>no</overquota>"
    objects = b"<obj>%s</obj>\n<obj>%s</obj>\n</nfacct>\n"
    assert text([PLAIN, UNDER], "xml") == begin + objects % (http, under + quota)
    assert text([PLAIN, UNDER], "xml", is_strict=True) == begin + objects % (http, under)
    assert (text([], "xml"), text([], "xml", is_strict=True)) == (begin + b"</nfacct>\n", b"")


def test_an_object_is_asked_for_when_it_is_printed_and_the_first_one_before_anything() -> None:
    asked: list[bytes] = []

    def counters() -> Iterator[Counter]:
        for counter in (PLAIN, OVER):
            asked.append(counter.name)
            yield counter

    told = pieces(counters(), "json", timestamp_seconds=0, is_strict=False)
    assert asked == []
    assert next(told).startswith(b'{ "timestamp"')
    assert asked == [b"http"]


@given(COUNTERS)
def test_json_tells_every_name_and_number(counters: list[Counter]) -> None:
    told = json.loads(text(counters, "json"))["nfacct_counters"]
    assert [one["name"].encode(errors="surrogateescape") for one in told] == [one.name for one in counters]
    assert [(one["pkts"], one["bytes"]) for one in told] == [(one.packets, one.bytes) for one in counters]
    assert [one.get("quota") for one in told] == [one.quota.limit if one.quota else None for one in counters]
    assert [one.get("overquota") for one in told] == [one.over_quota if one.quota else None for one in counters]


@given(COUNTERS)
def test_xml_tells_every_name_and_number(counters: list[Counter]) -> None:
    told = list(ElementTree.fromstring(text(counters, "xml")))  # noqa: S314  # it is our own
    names = [one.find("name") for one in told]
    assert [
        bytes.fromhex(name.attrib["hex"]) if "hex" in name.attrib else (name.text or "").encode()
        for name in names
        if name is not None
    ] == [one.name for one in counters]
    assert [one.findtext("pkts") for one in told] == [f"{one.packets:020}" for one in counters]
    assert [one.findtext("quota") for one in told] == [
        f"{one.quota.limit:020}" if one.quota else None for one in counters
    ]
    assert b"".join(map(line, counters)) == text(counters, "plain")
