"""Accounting requests from bytes: what is told, what is refused, and that nothing breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.learners.radius.packet import Datagram, Verdict, check, read
from netledger.learners.radius.request import Nas, Request, Status, UnreadableError, Usage
from netledger.learners.radius.request import read as read_request
from tests.unit import radius
from tests.unit.radius import SECRET, accounting, attributes, encode, is_answer, request


def understood(**named: object) -> Request:
    return read_request(attributes(**named), client="192.0.2.0/24", source="192.0.2.7")


def test_a_start_says_who_has_what_and_where() -> None:
    found = understood(
        status=radius.START,
        session="0000001A",
        user="alice@example.net",
        nas_address="192.0.2.1",
        nas="bras1",
        port=7,
        calling="00-11-22-33-44-55",
        address="10.0.0.2",
        framed_prefix="2001:db8:1::/64",
        delegated=["2001:db8:f000::/56", "2001:db8:1::/64"],
        six="2001:db8:2::5",
        event=1_763_632_800,
        delay=3,
    )
    assert found.status is Status.START
    assert found.nas == Nas("192.0.2.0/24", "bras1", "192.0.2.1")
    assert (found.session, found.user, found.port) == ("0000001A", "alice@example.net", "7")
    assert [str(target) for target in found.targets] == [
        "10.0.0.2",
        "2001:db8:2::5",
        "2001:db8:1::/64",
        "2001:db8:f000::/56",
    ]
    assert (found.event_seconds, found.delay_seconds, found.usage) == (1_763_632_800, 3, None)


def test_gigawords_are_the_upper_half_of_the_octets() -> None:
    found = understood(
        status=radius.STOP,
        session="1",
        seconds=60,
        input=5,
        input_gigawords=2,
        output=0xFFFF_FFFF,
        output_gigawords=0xFFFF_FFFF,
        input_packets=3,
        output_packets=4,
        cause=2,
    )
    assert found.usage == Usage(60, 2 * 2**32 + 5, 2**64 - 1, 3, 4)
    assert found.cause == "Lost-Carrier"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # an address that means none
        "255.255.255.255",
        "255.255.255.254",
        "224.0.0.1",
        "127.0.0.1",
    ],
)
def test_an_address_that_nobody_has_is_left_out(address: str) -> None:
    assert understood(status=radius.START, session="1", address=address).targets == ()


@pytest.mark.parametrize("prefix", ["::/0", "fe80::/64", "ff00::/8"])
def test_a_prefix_that_nobody_has_is_left_out(prefix: str) -> None:
    assert understood(status=radius.START, session="1", framed_prefix=prefix).targets == ()


def test_bits_behind_the_length_of_a_prefix_are_not_looked_at() -> None:
    raw = {40: [bytes((0, 0, 0, 1))], 44: [b"1"], 97: [bytes((0, 32)) + bytes.fromhex("20010db8ffff")]}
    assert [str(one) for one in read_request(raw, client="any", source="192.0.2.1").targets] == ["2001:db8::/32"]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (8, b"\x0a\0\0"),
        (41, b""),
        (55, b"12345"),
        (97, b"\0"),
        (97, bytes((0, 129))),
        (123, bytes(19)),
        (168, bytes(4)),
    ],
)
def test_a_value_of_an_impossible_length_is_refused(number: int, value: bytes) -> None:
    raw = attributes(status=radius.START, session="1") | {number: [value]}
    with pytest.raises(UnreadableError, match=str(number)):
        read_request(raw, client="any", source="192.0.2.1")


@pytest.mark.parametrize("named", [{"session": "1"}, {"status": radius.START}, {"status": radius.STOP, "session": ""}])
def test_what_must_be_there_is_missed(named: dict[str, object]) -> None:
    with pytest.raises(UnreadableError, match="no Acct-"):
        understood(**named)


def test_other_kinds_of_requests_have_no_status() -> None:
    assert understood(status=9, session="1").status is None


def test_names_with_unseen_characters_stay_visible_and_different() -> None:
    names = [understood(status=1, session="1", user=name).user for name in (b"a\x00b", b"a\nb", b"a\xffb", b"\xc3\xa4")]
    assert names == ["a\\x00b", "a\\nb", "a\\xffb", "ä"]


def test_who_has_no_name_is_known_by_the_line_that_called() -> None:
    assert understood(status=1, session="1", calling="00-11").user == "00-11"


def test_access_servers_are_the_same_by_name_where_both_have_one() -> None:
    one = Nas("any", "bras1", "192.0.2.1")
    assert one.is_same(Nas("any", "bras1", "192.0.2.9"))
    assert one.is_same(Nas("any", "", "192.0.2.1"))
    assert not one.is_same(Nas("any", "bras2", "192.0.2.1"))
    assert not one.is_same(Nas("192.0.2.0/24", "bras1", "192.0.2.1"))


@pytest.mark.parametrize("signed", [False, True])
def test_a_request_is_read_and_gets_its_answer(*, signed: bool) -> None:
    data = accounting(number=77, status=radius.START, session="1", user="alice", signed=signed)
    found = read(data, SECRET)
    assert isinstance(found, Datagram)
    assert found.attributes is not None
    assert found.attributes[1] == [b"alice"]
    assert is_answer(found.answer, data)


def test_what_proxies_left_behind_goes_back_in_order() -> None:
    data = request(encode([(40, bytes((0, 0, 0, 1))), (44, b"1"), (33, b"one"), (33, b"two")]))
    found = read(data, SECRET)
    assert isinstance(found, Datagram)
    assert found.answer[20:] == encode([(33, b"one"), (33, b"two")])


def test_what_is_behind_the_packet_is_padding() -> None:
    data = accounting(status=radius.START, session="1")
    found = read(data + b"padding", SECRET)
    assert isinstance(found, Datagram)
    assert is_answer(found.answer, data)


def test_another_secret_is_refused() -> None:
    assert read(accounting(status=1, session="1", secret=b"other"), SECRET) is Verdict.BAD_AUTHENTICATOR


@pytest.mark.parametrize("broken", [bytes(16), bytes(15), b""])
def test_a_wrong_message_authenticator_is_refused(broken: bytes) -> None:
    data = request(encode([(40, bytes((0, 0, 0, 1))), (44, b"1"), (80, broken)]))
    assert read(data, SECRET) is Verdict.BAD_AUTHENTICATOR


def test_two_message_authenticators_are_refused() -> None:
    good = accounting(status=1, session="1", signed=True)
    body = good[20:] + good[-18:]
    assert read(request(body), SECRET) is Verdict.BAD_AUTHENTICATOR


def test_status_server_is_answered_when_it_is_signed() -> None:
    from pyrad.packet import AcctPacket  # noqa: PLC0415  # only here: it signs as RFC 5997 asks

    question = AcctPacket(code=12, id=9, secret=SECRET, authenticator=bytes(range(16)))
    found = read(question.RequestPacket(), SECRET)
    assert isinstance(found, Datagram)
    assert found.attributes is None
    assert (found.answer[0], found.answer[1]) == (5, 9)
    assert read(request(b"", code=12), SECRET) is Verdict.BAD_AUTHENTICATOR


@pytest.mark.parametrize("code", [0, 1, 5, 40, 43, 255])
def test_other_packets_are_no_accounting(code: int) -> None:
    assert read(request(b"", code=code), SECRET) is Verdict.NOT_ACCOUNTING


@pytest.mark.parametrize(
    "body",
    [b"\x01", b"\x01\x00", b"\x01\x01", b"\x01\x01abc", b"\x01\x05ab", b"\x28\x06\0\0\0\x01\x2c", b"\x2c\xff1"],
)
def test_attributes_that_do_not_fill_the_packet_are_malformed(body: bytes) -> None:
    assert read(request(body), SECRET) is Verdict.MALFORMED


def test_a_packet_longer_than_radius_allows_is_malformed() -> None:
    assert read(request(encode([(200, bytes(253))] * 16)), SECRET) is Verdict.MALFORMED


def test_the_secret_is_in_no_text() -> None:
    found = read(accounting(status=1, session="1"), SECRET)
    assert SECRET.decode() not in repr(found)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert isinstance(read(data, SECRET), Verdict)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=20))
def test_any_attributes_of_somebody_who_knows_the_secret_are_read_or_refused(pairs: list[tuple[int, bytes]]) -> None:
    data = request(encode(pairs))
    found = read(data, SECRET)
    if isinstance(found, Verdict):
        assert found is Verdict.BAD_AUTHENTICATOR
        assert 80 in dict(pairs)
        return
    assert is_answer(found.answer, data)
    assert found.attributes is not None
    try:
        understood = read_request(found.attributes, client="any", source="192.0.2.1")
    except UnreadableError:
        return
    assert len(understood.targets) <= 16
    assert understood.user.isprintable()


@given(st.data())
def test_a_changed_packet_is_refused(data: st.DataObject) -> None:
    whole = accounting(status=1, session="0000001A", user="alice", address="10.0.0.2", signed=True)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    found = read(bytes(changed), SECRET)
    assert isinstance(found, Verdict)


@given(st.binary(max_size=60))
def test_any_body_that_is_signed_has_a_shape_or_none(body: bytes) -> None:
    data = request(body)
    found = read(data, SECRET)
    assert (found is Verdict.MALFORMED) == (check(data) is not None)
