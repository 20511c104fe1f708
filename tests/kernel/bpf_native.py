"""A meter that counts in the kernel, on one of two machines; what is sent to the other is swallowed there."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pyarrow as pa

from netledger._core import BpfMeter, Generation, KeySpec
from tests.kernel.bpf_box import BPFFS, BpfPair, own_bpffs
from tests.kernel.settling import settle

HERE, THERE = "10.77.1.1", "10.77.1.2"
DIRECTORY = BPFFS / "netledger" / "test"
PINS = DIRECTORY / "v1"
OBJECT = Path(__file__).parent.parent.parent / "bpf" / "accounting.bpf.o"
SWALLOW = """
table inet swallow {
  chain everything { type filter hook prerouting priority -300; policy drop; }
}"""
HEADERS_BYTES = 28
HOOKS = [f"link-{hook}-{family}" for hook in ("forward", "input", "output") for family in ("ipv4", "ipv6")]
Row = tuple[int, int, int, int]


class Machine(BpfPair):
    """``a`` counts and sends; ``b`` answers nothing."""

    def _wire(self) -> None:
        super()._wire()
        self.nft(self.b, SWALLOW)

    def index(self, interface: str = "wire") -> int:
        with self.inside(self.a):
            return socket.if_nametoindex(interface)


@contextmanager
def machine() -> Iterator[Machine]:
    """The calling thread on a machine of its own, with a BPF file system of its own."""
    with own_bpffs(), Machine() as made, made.inside(made.a):
        yield made


def meter(columns: Sequence[str] = ("host",), *, local: Sequence[str] = (), **changes: Any) -> BpfMeter:
    """A meter at netfilter's hooks, if nothing else is asked for."""
    key = KeySpec(columns=columns, local=local, ipv6_prefix_length=128)
    wanted = {"directory": str(DIRECTORY), "rows_max": 1000, "attach": "netfilter", **changes}
    return BpfMeter(key=key, **wanted)


def counting(*columns: str, **changes: Any) -> BpfMeter:
    """The same, loaded and attached to the hooks, with generation 1 open."""
    made = meter(columns or ("host",), **changes)
    made.load()
    made.attach()
    made.prepare(1)
    made.switch(1)
    return made


def cut(counter: BpfMeter, path: Path) -> Generation:
    """Closes the open generation and opens the next."""
    number = counter.generation()
    counter.prepare(number + 1)
    counter.switch(number + 1)
    counter.settle()
    return counter.read(number, str(path))


def send(count: int = 1, *, to: str = THERE, size: int = 100, ports: Sequence[int] = (9000,)) -> int:
    """Sends UDP, ``count`` packets to each port, and waits until they are received; returns the IP bytes of one."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for port in ports:
            for _ in range(count):
                sender.sendto(bytes(size), (to, port))
    settle()
    return size + HEADERS_BYTES + (20 if ":" in to else 0)


def rows(generation: Generation, interfaces: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """All rows as they come out."""
    found: list[dict[str, Any]] = pa.record_batch(generation.batch(interfaces or {})).to_pylist()
    return found


def by_host(generation: Generation) -> dict[str, Row]:
    """Sent packets and bytes, received packets and bytes by address; by account where there is none."""
    found = {}
    for row in rows(generation):
        host = ip_address(row["host"]) if row["host"] else row["account"]
        name = str(getattr(host, "ipv4_mapped", None) or host)
        found[name] = (row["sent_packets"], row["sent_bytes"], row["received_packets"], row["received_bytes"])
    return found


def section(image: bytes, wanted: str) -> int:
    """Where a section of an object begins, found by `readelf`'s own means: the ELF header's tables."""
    table = int.from_bytes(image[40:48], "little")
    size, count, names = (int.from_bytes(image[at : at + 2], "little") for at in (58, 60, 62))
    headers = [image[table + number * size : table + (number + 1) * size] for number in range(count)]
    names_at = int.from_bytes(headers[names][24:32], "little")
    for header in headers:
        start = names_at + int.from_bytes(header[:4], "little")
        if image[start : image.index(0, start)].decode() == wanted:
            return int.from_bytes(header[24:32], "little")
    raise LookupError(wanted)
