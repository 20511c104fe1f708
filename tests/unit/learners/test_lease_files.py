"""The lease files of dnsmasq, ISC dhcpd and Kea, as the servers of Debian wrote them, and as nobody would."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.attribution.facts import Target
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS
from netledger.learners import dnsmasq, isc, kea
from netledger.learners.dnsmasq import DnsmasqBook
from netledger.learners.isc import IscBook
from netledger.learners.kea import KeaBook
from netledger.learners.lease import Called, Lease, News, mac_of_duid

DEVICE = "02:77:00:00:00:02"
DUID = bytes.fromhex("00010001329436080277000000" + "02")

DNSMASQ = b"""\
1795258880 02:77:00:00:00:02 10.77.1.134 laptop *
0 06-aa:bb:cc:00:00:01 10.77.1.135 * 01:aa:bb:cc:00:00:01
duid 00:01:00:01:32:94:36:03:02:77:00:00:00:01
1795258881 2 fd77:1::148 laptop 00:01:00:01:32:94:36:08:02:77:00:00:00:02
1795258881 T7 fd77:1::149 * 00:02:00:00:ab:11:01
"""

ISC = rb"""# The format of this file is documented in the dhcpd.leases(5) manual page.
# This lease file was written by isc-dhcp-4.4.3-P1
# authoring-byte-order entry is generated, DO NOT DELETE
authoring-byte-order little-endian;
server-duid "\000\001\000\0012\2246\016\002w\000\000\000\001";
lease 10.77.1.100 {
  starts 6 2026/11/21 10:59:29;
  ends 6 2026/11/21 11:01:29;
  cltt 6 2026/11/21 10:59:29;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 02:77:00:00:00:02;
  uid "\001\002w\000\000\000\"\\";
  client-hostname "Laptop;} x";
}
failover peer "dhcp" state {
  my state normal at 6 2026/11/21 10:59:29;
}
lease 10.77.1.101 {
  starts epoch 1795258769; # Sat Nov 21 10:59:29 2026
  ends never;
  binding state active;
  hardware ethernet 02:77:00:00:00:03;
}
lease 10.77.1.100 {
  starts 6 2026/11/21 10:59:29;
  ends 6 2026/11/21 11:00:00;
  binding state free;
  hardware ethernet 02:77:00:00:00:02;
}
ia-na "\002\000\000\000\000\001\000\0012\2246\010\002w\000\000\000\002" {
  cltt 6 2026/11/21 10:59:30;
  iaaddr fd77:1::200 {
    binding state active;
    preferred-life 100;
    max-life 120;
    ends 6 2026/11/21 11:01:30;
  }
}
ia-pd "\002\000\000\000\000\001\000\0012\2246\010\002w\000\000\000\002" {
  cltt 6 2026/11/21 10:59:32;
  iaprefix fd77:2:ff::/56 {
    binding state released;
    preferred-life 100;
    max-life 120;
    ends 6 2026/11/21 11:01:30;
  }
}
"""

KEA4 = b"""\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context
10.77.1.100,02:77:00:00:00:02,,120,1795258897,1,0,0,laptop.,0,
10.77.1.101,02:77:00:00:00:03,01:02:77:00:00:00:03,4294967295,1795258897,1,0,0,a&#x2cb,0,{ "x": 1&#x2c }
10.77.1.102,02:77:00:00:00:04,,120,1795258897,1,0,0,,1,
10.77.1.103,02:77:00:00:00:05,,120,1795258897,1,0,0,,0,
10.77.1.103,02:77:00:00:00:05,,0,1795258897,1,0,0,,0,
"""

KEA6 = b"""\
address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,\
hwaddr,state,user_context,hwtype,hwaddr_source
fd77:1::100,00:01:00:01:32:94:36:08:02:77:00:00:00:02,120,1795258897,1,100,0,2,128,0,0,laptop.,,0,,,
fd77:2::,00:01:00:01:32:94:36:08:02:77:00:00:00:02,120,1795258897,1,100,2,2,56,0,0,,02:77:00:00:00:09,0,,1,2
"""


def by_text(news: News) -> dict[str, Lease]:
    return {str(target): lease for target, lease in news.leases.items()}


def at(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return (1_795_219_200 + hours * 3600 + minutes * 60 + seconds) * SECOND_NS  # 2026-11-21


def test_dnsmasq() -> None:
    news = dnsmasq.parsed(DNSMASQ)
    found = by_text(news)
    assert (news.is_all, news.refused) == (True, 0)
    assert list(found) == ["10.77.1.134", "10.77.1.135", "fd77:1::148", "fd77:1::149"]
    first, token, six, other = found.values()
    assert (first.mac, first.host_name, first.client, first.ends_ns) == (DEVICE, "laptop", b"", 1795258880 * SECOND_NS)
    assert (token.mac, token.host_name, token.ends_ns) == ("aa:bb:cc:00:00:01", "", None)
    assert (six.mac, six.client) == (DEVICE, DUID)
    assert other.mac is None
    holder = other.holder(Called.HOST_NAME)
    assert holder is not None
    assert holder.subject == "client:00:02:00:00:ab:11:01"


def test_isc() -> None:
    news, rest = isc.parsed(ISC, is_all=True)
    found = by_text(news)
    assert (rest, news.refused) == (b"", 0)
    assert list(found) == ["10.77.1.100", "10.77.1.101", "fd77:1::200", "fd77:2:ff::/56"]
    freed, static, six, released = found.values()
    assert (freed.is_held, freed.ends_ns) == (False, at("11:00:00"))
    assert (static.is_held, static.starts_ns, static.ends_ns) == (True, at("10:59:29"), None)
    assert (six.is_held, six.mac, six.client) == (True, DEVICE, DUID)
    assert (six.starts_ns, six.ends_ns) == (at("10:59:30"), at("11:01:30"))
    assert (released.is_held, released.ends_ns) == (False, at("10:59:32"))
    (first, *_) = by_text(isc.parsed(ISC[: ISC.index(b"failover")], is_all=True)[0]).values()
    assert (first.is_held, first.mac, first.host_name) == (True, DEVICE, "laptop;} x")
    assert first.client == b'\x01\x02w\x00\x00\x00"\\'


def test_kea() -> None:
    four, header = kea.parsed(KEA4, (), is_all=True)
    found = by_text(four)
    assert (four.refused, header[0]) == (0, "address")
    assert [lease.is_held for lease in found.values()] == [True, True, False, False]
    first, forever, _, deleted = found.values()
    assert deleted.ends_ns is None
    assert (first.mac, first.host_name) == (DEVICE, "laptop")
    assert (first.starts_ns, first.ends_ns) == (1795258777 * SECOND_NS, 1795258897 * SECOND_NS)
    assert (forever.ends_ns, forever.host_name) == (None, "a,b")
    six = by_text(kea.parsed(KEA6, (), is_all=True)[0])
    assert list(six) == ["fd77:1::100", "fd77:2::/56"]
    assert [lease.mac for lease in six.values()] == [DEVICE, "02:77:00:00:00:09"]


def test_what_a_holder_is_called() -> None:
    (named, *_) = dnsmasq.parsed(DNSMASQ).leases.values()
    by_name, by_mac = named.holder(Called.HOST_NAME), named.holder(Called.MAC)
    assert by_name is not None
    assert by_mac is not None
    assert (by_name.subject, by_name.mac, by_name.detail) == ("laptop", DEVICE, {})
    assert (by_mac.subject, by_mac.mac, by_mac.detail) == (DEVICE, DEVICE, {"host_name": "laptop"})
    hostile = Lease(target=Target.address("10.0.0.1"), is_held=True, mac=DEVICE, host_name="a\x1b[2Jb")
    found = hostile.holder(Called.HOST_NAME)
    assert found is not None
    assert found.subject == DEVICE
    assert Lease(target=Target.address("10.0.0.1"), is_held=True).holder(Called.HOST_NAME) is None


@pytest.mark.parametrize("raw", [ISC, DNSMASQ, KEA4, KEA6], ids=["isc", "dnsmasq", "kea4", "kea6"])
def test_a_file_that_ends_in_the_middle_tells_what_is_whole(raw: bytes) -> None:
    def read(part: bytes) -> dict[str, Lease]:
        if raw is ISC:
            return by_text(isc.parsed(part, is_all=True)[0])
        return by_text(dnsmasq.parsed(part) if raw is DNSMASQ else kea.parsed(_whole(part), (), is_all=True)[0])

    entire = read(raw)
    for end in range(len(raw)):
        for target, lease in read(raw[:end]).items():
            # Each as it stands there up to now: the last of all, or one that came before it.
            assert target in entire
            assert lease.mac in {entire[target].mac, DEVICE}


def _whole(part: bytes) -> bytes:
    return part[: part.rfind(b"\n") + 1]


@given(st.data())
def test_a_log_that_comes_in_pieces_tells_the_same(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ISC)), max_size=6)))
    rest = b""
    found: dict[Target, Lease] = {}
    for start, end in zip([0, *cuts], [*cuts, len(ISC)], strict=True):
        news, rest = isc.parsed(rest + ISC[start:end], is_all=False)
        found.update(news.leases)
    assert found == isc.parsed(ISC, is_all=True)[0].leases


@given(st.binary(max_size=400))
def test_any_bytes_are_leases_or_none(raw: bytes) -> None:
    for news in (dnsmasq.parsed(raw), isc.parsed(raw, is_all=True)[0], kea.parsed(raw, (), is_all=True)[0]):
        _check(news)


@given(st.sampled_from([ISC, DNSMASQ, KEA4, KEA6]), st.data())
def test_any_damage_leaves_leases_that_can_be(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 8))):
        where = data.draw(st.integers(0, len(damaged) - 1))
        damaged[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        damaged += b"\n"
    text = bytes(damaged)
    for news in (dnsmasq.parsed(text), isc.parsed(text, is_all=True)[0], kea.parsed(text, (), is_all=True)[0]):
        _check(news)


def _check(news: News) -> None:
    """Nothing that comes of it is refused by those who keep it."""
    for target, lease in news.leases.items():
        assert Target.address(str(target)) == target
        for called in Called:
            holder = lease.holder(called)
            if holder is not None:
                assert holder.subject is not None
                assert holder.subject.isprintable()
                assert all(value.isprintable() and len(value) <= 255 for value in holder.detail.values())


def test_nobody_is_lent_the_whole_world() -> None:
    lines = b"5 02:00:00:00:00:01 10.0.0.0/8 a *\n5 02:00:00:00:00:01 ::/0 a *\n"
    assert dnsmasq.parsed(lines) == News(leases={}, is_all=True, refused=2)
    block = b"lease 10.0.0.0/8 {\n  binding state active;\n}\n"
    assert isc.parsed(block, is_all=True)[0] == News(leases={}, is_all=True, refused=1)
    world = KEA6.replace(b"fd77:2::,", b"::,").replace(b",56,", b",0,")
    found = kea.parsed(world, (), is_all=True)[0]
    assert (list(by_text(found)), found.refused) == (["fd77:1::100"], 1)


def test_duids_without_a_hardware_address() -> None:
    assert mac_of_duid(DUID) == DEVICE
    assert mac_of_duid(bytes.fromhex("00030001" + "027700000002")) == DEVICE
    assert mac_of_duid(bytes.fromhex("00030006" + "027700000002")) is None
    assert mac_of_duid(bytes.fromhex("0004" + "00" * 16)) is None
    assert mac_of_duid(b"") is None


def test_dnsmasq_writes_its_file_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    book = DnsmasqBook(path)
    with pytest.raises(LearnerError, match="no such file"):
        book.read()
    path.write_bytes(DNSMASQ)
    assert len(book.read().leases) == 4
    again = book.read()
    assert (again.leases, again.is_all) == ({}, False)
    path.write_bytes(DNSMASQ[: DNSMASQ.index(b"0 06-")])
    assert (len(book.read().leases), book.read().is_all) == (1, False)


def test_isc_appends_and_writes_anew_from_time_to_time(tmp_path: Path) -> None:
    path = tmp_path / "dhcpd.leases"
    half = ISC.index(b"lease 10.77.1.101") + 30
    path.write_bytes(ISC[:half])
    book = IscBook(path)
    first = book.read()
    assert (list(by_text(first)), first.is_all) == (["10.77.1.100"], True)
    with path.open("ab") as file:
        file.write(ISC[half:])
    then = book.read()
    assert (list(by_text(then)), then.is_all) == (
        ["10.77.1.101", "10.77.1.100", "fd77:1::200", "fd77:2:ff::/56"],
        False,
    )
    new = tmp_path / "new"
    new.write_bytes(ISC[: ISC.index(b"failover")])
    new.rename(path)
    anew = book.read()
    assert (list(by_text(anew)), anew.is_all) == (["10.77.1.100"], True)
    # Emptied, and longer than before at the next look.
    path.write_bytes(ISC[ISC.index(b"ia-na") :] + b"# " * len(ISC))
    assert (list(by_text(other := book.read())), other.is_all) == (["fd77:1::200", "fd77:2:ff::/56"], True)


def test_a_block_that_was_cut_off_ends_where_the_next_begins() -> None:
    raw = b"lease 10.0.0.1 {\n  starts 6 2026/11/21 10:5" + ISC[ISC.index(b"lease 10.77.1.101") - 1 :]
    assert next(iter(by_text(isc.parsed(raw, is_all=True)[0]))) == "10.77.1.101"


def test_kea_moves_its_file_away(tmp_path: Path) -> None:
    path = tmp_path / "kea-leases4.csv"
    head, *lines = KEA4.splitlines(keepends=True)
    path.write_bytes(head + lines[0] + lines[1][:20])
    book = KeaBook(path)
    first = book.read()
    assert (list(by_text(first)), first.is_all) == (["10.77.1.100"], True)
    with path.open("ab") as file:
        file.write(lines[1][20:])
    then = book.read()
    assert (list(by_text(then)), then.is_all) == (["10.77.1.101"], False)
    # Kea begins a new file; then its helper makes one of the two old ones.
    path.rename(tmp_path / "kea-leases4.csv.1")
    (tmp_path / "kea-leases4.csv.2").write_bytes(head + lines[2])
    path.write_bytes(head)
    rotated = book.read()
    assert (sorted(by_text(rotated)), rotated.is_all) == (["10.77.1.100", "10.77.1.101", "10.77.1.102"], True)
    (tmp_path / "kea-leases4.csv.completed").write_bytes(head + lines[0])
    (tmp_path / "kea-leases4.csv.1").unlink()
    path.unlink()
    path.write_bytes(head + lines[3] + lines[4])
    done = by_text(book.read())
    assert {target: lease.is_held for target, lease in done.items()} == {"10.77.1.100": True, "10.77.1.103": False}
