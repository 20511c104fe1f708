"""Networks and expressions as programs for the kernel, run on frames of every form that is understood."""

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.errors import NotSupportedError, UsageError
from netledger.sources.packet_expression import compiled, loaded
from netledger.sources.packet_filter import KEEP, PacketChoice
from netledger.sources.packet_networks import ranges
from netledger.sources.packet_program import (
    JEQ,
    LD_X,
    RETURN,
    Instruction,
    Label,
    Op,
    Part,
    assemble,
    disassemble,
    jump,
)
from tests.unit import packets
from tests.unit.packet_machine import Frame, run

LDX_NUMBER = 0x01  # ldx #k


def packet_of(source: str, destination: str, port: int = 9000) -> bytes:
    make = packets.ipv6 if ":" in source else packets.ipv4
    return make(source, destination, packets.udp(destination=port))


def verdicts(program: Sequence[Instruction], packet: bytes) -> set[bool]:
    """What becomes of it on each kind of link; they are to agree."""
    return {bool(run(program, frame)) for frame in packets.frames(packet)}


def test_all_packets_are_wanted_where_nothing_is_chosen() -> None:
    assert PacketChoice().program() == ()


@pytest.mark.parametrize(
    ("source", "destination", "is_wanted"),
    [
        ("10.1.2.3", "192.0.2.1", True),
        ("192.0.2.1", "10.1.2.3", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("10.1.2.3", "10.9.9.9", False),  # excluded goes first
        ("10.9.9.9", "192.0.2.1", False),
        ("2001:db8::1", "fe80::1", True),
        ("fe80::1", "2001:db8:0:1::", True),
        ("2001:db9::1", "fe80::1", False),
        ("2001:db8::1", "2001:db8:0:7::5", False),
    ],
)
def test_networks_choose_by_either_end_on_every_link(source: str, destination: str, is_wanted: bool) -> None:
    choice = PacketChoice(
        networks=("10.0.0.0/8", "2001:db8::/32"), networks_excluded=("10.9.0.0/16", "2001:db8:0:7::5/128")
    )
    assert verdicts(choice.program(), packet_of(source, destination)) == {is_wanted}


def test_networks_of_one_version_leave_nothing_of_the_other() -> None:
    assert verdicts(PacketChoice(networks=("0.0.0.0/0",)).program(), packet_of("fe80::1", "fe80::2")) == {False}
    assert verdicts(PacketChoice(networks=("::/0",)).program(), packet_of("10.0.0.1", "10.0.0.2")) == {False}


def test_networks_excluded_alone_leave_all_others() -> None:
    program = PacketChoice(networks_excluded=("10.0.0.0/8",)).program()
    assert verdicts(program, packet_of("fe80::1", "fe80::2")) == {True}
    assert verdicts(program, packet_of("192.0.2.1", "192.0.2.2")) == {True}
    assert verdicts(program, packet_of("192.0.2.1", "10.0.0.2")) == {False}


@pytest.mark.parametrize("data", [b"", bytes(13), packets.MACS + b"\x08\x00E"])
def test_what_is_no_whole_ip_header_is_not_wanted(data: bytes) -> None:
    program = PacketChoice(networks=("0.0.0.0/1", "::/1")).program()
    assert run(program, Frame(data)) == 0


@pytest.mark.parametrize(
    ("expression", "is_wanted"),
    [
        ("udp port 53", True),
        ("udp dst port 9000 and src host 10.0.0.1", False),
        ("ip6 or tcp", False),
        ("src net 10.0.0.0/8 and not portrange 60000-61000", True),
        ("ip[8] == 64 and ip[6:2] & 0x1fff == 0", True),
        ("less 28", True),
        ("greater 29", False),
        ("len == 28", True),
        ("len != 28 or udp[0:2] == 5", False),
    ],
)
def test_an_expression_begins_at_the_ip_header_on_every_link(expression: str, is_wanted: bool) -> None:
    program = PacketChoice(expression=expression).program()
    assert verdicts(program, packet_of("10.0.0.1", "192.0.2.1", 53)) == {is_wanted}


def test_networks_and_an_expression_must_both_fit() -> None:
    program = PacketChoice(networks=("10.0.0.0/8",), expression="udp port 53").program()
    assert verdicts(program, packet_of("10.0.0.1", "192.0.2.1", 53)) == {True}
    assert verdicts(program, packet_of("10.0.0.1", "192.0.2.1", 54)) == {False}
    assert verdicts(program, packet_of("192.0.2.2", "192.0.2.1", 53)) == {False}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tcp prt 80", "syntax error"),
        ("ether host 02:00:00:00:00:01", "ethernet addresses"),
        ("vlan 3", "no VLAN support"),
        ("arp", "rejects all packets"),
        ("inbound", "about more than the packet"),
        ("a\0b", "no NUL"),
        ("ip or " * 2000 + "ip", "8192 bytes"),
    ],
)
def test_a_bad_expression_is_refused_with_the_words_of_libpcap(expression: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PacketChoice(expression=expression).program()


def test_without_libpcap_the_package_is_named() -> None:
    with pytest.raises(NotSupportedError, match="filter: compile: libpcap is not installed") as caught:
        loaded(["", "libno-such-thing.so.9"])
    assert caught.value.hint == "apt-get install libpcap0.8"


def test_the_length_is_that_of_the_ip_packet() -> None:
    """Not that of the frame, which has the link's header in it, and padding."""
    program = PacketChoice(expression="len == 48").program()
    for packet in (packets.ipv6("fe80::1", "fe80::2", packets.udp()), packets.ipv4("10.0.0.1", "10.0.0.2", bytes(28))):
        assert verdicts(program, packet) == {True}
        padded = Frame(packets.ethernet(packet) + bytes(18), 14, packets.kind(packet))
        assert run(program, padded) == KEEP


def test_more_networks_than_the_kernel_takes_are_refused() -> None:
    many = tuple(f"10.{high}.{low}.0/25" for high in range(8) for low in range(256))
    with pytest.raises(ValueError, match="instructions for the kernel are too many, at most 3072"):
        PacketChoice(networks=many).program()


def test_touching_networks_are_one_range() -> None:
    assert ranges(["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/25", "10.0.0.5/32"], 4) == [(0x0A000000, 0x0A00027F)]


def networks(version: int) -> st.SearchStrategy[str]:
    """Near to each other, so that they touch and overlap."""
    base, bits = (0x0A000000, 32) if version == 4 else (0x20010DB8 << 96, 128)
    near = st.integers(0, 1 << 10).map(lambda low: base | low) | st.integers(0, (1 << bits) - 1)
    made = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return st.tuples(near, st.integers(0, bits)).map(lambda each: str(made(each, strict=False)))


@given(st.data(), st.sampled_from([4, 6]))
def test_the_program_says_of_each_address_what_the_networks_say(data: st.DataObject, version: int) -> None:
    chosen = data.draw(st.lists(networks(version), min_size=1, max_size=12))
    program = PacketChoice(networks=tuple(chosen)).program()
    parsed = [ipaddress.ip_network(text) for text in chosen]
    edges = [edge for net in parsed for edge in (int(net[0]), int(net[0]) - 1, int(net[-1]), int(net[-1]) + 1)]
    nowhere = "203.0.113.9" if version == 4 else "fe80::9"
    is_nowhere_in = any(ipaddress.ip_address(nowhere) in net for net in parsed)
    for number in edges:
        if not 0 <= number < 1 << (32 if version == 4 else 128):
            continue
        address = ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)
        wanted = is_nowhere_in or any(address in net for net in parsed)
        for ends in ((str(address), nowhere), (nowhere, str(address))):
            assert verdicts(program, packet_of(*ends)) == {wanted}, address


def test_a_jump_that_reaches_too_far_is_made_in_two() -> None:
    """The kernel's conditions reach over 255 instructions."""
    filling: list[Part] = [Op(LDX_NUMBER, number) for number in range(300)]
    parts: list[Part] = [Op(LD_X, 0), Op(JEQ, 0, "no", "yes"), Label("a"), *filling, Label("yes"), Op(RETURN, 1)]
    program = assemble([*parts, *filling, Label("no"), Op(RETURN, 0)])
    assert run(program, Frame(bytes(4))) == 0
    assert run(program, Frame(b"\0\0\0\1")) == 1
    assert len(program) == 2 + 2 + 300 + 1 + 300 + 1


def test_a_program_is_the_same_after_it_was_taken_apart() -> None:
    program = compiled("tcp port 80 or ip6 host 2001:db8::1")
    assert list(assemble(disassemble(program, "a"))) == list(program)


BACK: list[Part] = [Label("back"), Op(LDX_NUMBER, 0), jump("back")]
NOWHERE: list[Part] = [Op(JEQ, 0, "a"), jump("nowhere")]


@pytest.mark.parametrize("parts", [BACK, NOWHERE])
def test_a_jump_back_or_nowhere_is_a_mistake(parts: list[Part]) -> None:
    with pytest.raises((ValueError, KeyError)):
        assemble([*parts, Label("a"), Op(RETURN, 0)])


def test_a_program_that_jumps_out_of_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="a jump to 9"):
        disassemble([(JEQ, 8, 0, 0), (RETURN, 0, 0, 0)], "a")
