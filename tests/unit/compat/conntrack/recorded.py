"""What was recorded of the old program, and flows read back from its lines."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netledger.compat.conntrack.protocols import PROTOCOLS
from netledger.conntrack import Direction, Family, Flow, Status

TRANSCRIPTS = Path(__file__).parents[3] / "compat" / "conntrack" / "transcripts"
_NUMBERS = {protocol.name: protocol.number for protocol in PROTOCOLS}
_LINE = re.compile(
    r"(?:ipv[46] +(?P<family>\d+) )?(?P<name>\w+) +(?P<protocol>\d+)(?: (?P<timeout>\d+))?(?: (?P<state>[A-Z_]{4,}))?"
    r" src=(?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a transcript: its words, what it printed and what it complained of, its exit status."""

    words: tuple[str, ...]
    output: tuple[str, ...]
    errors: tuple[str, ...]
    status: int


def commands(name: str) -> Iterator[Command]:
    """The commands of a transcript."""
    text = (TRANSCRIPTS / name).read_text(encoding="utf-8")
    for block in text.split("\n$ conntrack")[1:]:
        first, *lines = block.split("\n[rc=")[0].split("\n")
        status = block.partition("\n[rc=")[2].partition("]")[0]
        yield Command(
            tuple(first.split()),
            tuple(line.removeprefix("out| ").replace("^I", "\t") for line in lines if line.startswith("out| ")),
            tuple(line.removeprefix("err| ") for line in lines if line.startswith("err| ")),
            int(status),
        )


def events(variant: str) -> list[str]:
    """The lines that ``-E`` showed in one of its forms."""
    text = (TRANSCRIPTS / "02-events-all-formats.txt").read_text(encoding="utf-8")
    block = text.partition(f"### conntrack -E variant: {variant}\n")[2].partition("\n###")[0]
    return [line.removeprefix("out| ") for line in block.split("\n") if line.startswith("out| ")]


def flow_of(line: str) -> Flow:
    """The flow that a line tells of. Its times are not in it."""
    found = _LINE.match(line)
    assert found is not None, line
    original_text, _, reply_text = found["rest"].partition(" src=")
    original = _direction(int(found["protocol"]), original_text)
    reply = _direction(int(found["protocol"]), reply_text)
    status = Status.CONFIRMED
    if "[UNREPLIED]" not in line:
        status |= Status.SEEN_REPLY
    if "[ASSURED]" in line:
        status |= Status.ASSURED
    behind = dict(re.findall(r"(\w+)=(\d+)", line.rpartition("packets=")[2] if "packets=" in line else reply_text))
    return Flow(
        family=Family.IPV6 if ":" in original.source else Family.IPV4,
        original=original,
        reply=reply,
        status=status,
        timeout_seconds=None if found["timeout"] is None else int(found["timeout"]),
        state=found["state"],
        mark=int(behind["mark"]) if "mark" in behind else None,
        use=int(behind["use"]) if "use" in behind else None,
        id=int(re.findall(r" id=(\d{6,})", line)[0]) if re.search(r" id=\d{6,}", line) else None,
    )


def _direction(protocol: int, text: str) -> Direction:
    source, _, rest = text.partition(" ")
    values = dict(re.findall(r"(\w+)=(\w+|[0-9a-f:.]+)", re.sub(r" id=\d{6,}", "", rest)))
    destination = re.findall(r"dst=(\S+)", rest)[0]
    ports = [values.get("sport", values.get("srckey")), values.get("dport", values.get("dstkey"))]
    numbers = [None if port is None else int(port, 0) for port in ports]
    icmp = [int(values[name]) if "type" in values and name in values else None for name in ("type", "code", "id")]
    return Direction(
        source_raw=ipaddress.ip_address(source).packed,
        destination_raw=ipaddress.ip_address(destination).packed,
        protocol=protocol,
        source_port=numbers[0],
        destination_port=numbers[1],
        icmp_type=icmp[0],
        icmp_code=icmp[1],
        icmp_id=icmp[2],
        packets=int(values["packets"]) if "packets" in values else None,
        bytes=int(values["bytes"]) if "bytes" in values else None,
    )
