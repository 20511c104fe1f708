"""A program that the kernel refuses, and what is no program: what is said of it; nothing is left behind."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.errors import NetledgerError
from tests.kernel.bpf_box import BpfPair, own_bpffs, pins
from tests.kernel.bpf_proof import meter
from tests.kernel.senders import ROOT

OBJECT = ROOT / "bpf" / "accounting.bpf.o"
# r3 = *(u64 *)(r2 + 0): nothing was ever in r2.
READS_NOTHING = struct.pack("<BBhi", 0x79, 0x23, 0, 0)
ELF_HEADER, SECTION = "<16xHHIQQQIHHHHHH", "<IIQQQQIIQQ"


@pytest.fixture
def pair() -> Iterator[BpfPair]:
    with own_bpffs(), BpfPair() as made, made.inside(made.a):
        yield made


def broken(directory: Path, section: str) -> Path:
    """The object, with a first instruction in one of its programs that no verifier lets pass."""
    image = bytearray(OBJECT.read_bytes())
    *_, table, _, _, _, _, entry, number, names = struct.unpack_from(ELF_HEADER, image)
    headers = [struct.unpack_from(SECTION, image, table + each * entry) for each in range(number)]
    strings = headers[names][4]
    (at,) = [
        header[4]
        for header in headers
        if image[strings + header[0] :].partition(b"\0")[0] == section.encode() and header[1] == 1
    ]
    image[at : at + len(READS_NOTHING)] = READS_NOTHING
    made = directory / "broken.bpf.o"
    made.write_bytes(image)
    return made


@pytest.mark.parametrize(("kind", "section"), [("netfilter", "netfilter"), ("tcx", "tcx/ingress")])
def test_the_reasons_of_the_verifier_are_shown_and_nothing_is_left_behind(
    pair: BpfPair, kind: str, section: str
) -> None:
    one = meter(kind, object_path=broken(pair.directory, section))
    with pytest.raises(NetledgerError) as caught:
        one.load()
    said = str(caught.value)
    assert "R2 !read_ok" in said
    # The last reason and what led there; not the whole log, and none of the loader's own chatter.
    assert len(said.splitlines()) < 20
    assert len(said) < 2000
    assert "libbpf:" not in said
    one.remove()
    assert pins() == []


@pytest.mark.parametrize("content", [b"", b"this is no object", b"\x7fELF" + bytes(60)])
def test_what_is_no_object_is_called_so(pair: BpfPair, content: bytes) -> None:
    path = pair.directory / "none.bpf.o"
    path.write_bytes(content)
    with pytest.raises(NetledgerError, match="read the object"):
        meter("netfilter", object_path=path).load()
    assert pins() == []


def test_an_object_that_is_not_there_is_named(pair: BpfPair) -> None:
    with pytest.raises(NetledgerError, match=r"absent\.bpf\.o"):
        meter("netfilter", object_path=pair.directory / "absent.bpf.o").load()
    assert pins() == []


def test_a_second_load_in_the_same_place_is_refused_and_harms_nothing(pair: BpfPair) -> None:
    one = meter("netfilter")
    one.load()
    found = pins()
    with pytest.raises(NetledgerError):
        meter("netfilter").load()
    assert pins() == found
    one.remove()
    assert pins() == []


def test_outside_a_bpf_file_system_it_says_where_one_is_needed(pair: BpfPair) -> None:
    with pytest.raises(NetledgerError) as caught:
        meter("netfilter", directory=pair.directory / "pins").load()
    assert "bpf" in str(caught.value).lower()
    assert caught.value.hint
    assert not (pair.directory / "pins").exists()
