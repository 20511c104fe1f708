"""One flow as the command line that makes it again. It holds no counters."""

from typing import Final

from netledger.compat.conntrack.protocols import name_of, written_tag
from netledger.compat.conntrack.translation import is_destination_translated, is_source_translated
from netledger.conntrack import Direction, EventKind, Flow, Status

__all__ = ["flow_command"]

_LETTERS: Final = {EventKind.NEW: "-A", EventKind.UPDATE: "-U", EventKind.DESTROY: "-D"}
_STATUS: Final = (
    (Status.EXPECTED, "EXPECTED"),
    (Status.SEEN_REPLY, "SEEN_REPLY"),
    (Status.ASSURED, "ASSURED"),
    (Status.FIXED_TIMEOUT, "FIXED_TIMEOUT"),
)
_WITH_PORTS: Final = frozenset((6, 17, 136, 132, 33))
_GRE = 47
_ICMP: Final = frozenset((1, 58))


def flow_command(flow: Flow, kind: EventKind) -> str:
    """The words behind the name of the program."""
    original, reply = flow.original, flow.reply
    name = name_of(original.protocol)
    words = [_LETTERS[kind]]
    if flow.timeout_seconds is not None:
        words.append(f"-t {flow.timeout_seconds}")
    if flow.status is not None:
        status = flow.status
        words.append("-u " + (",".join(word for bit, word in _STATUS if status & bit) or "UNSET"))
    for option, zone in (("-w", flow.zone), ("--orig-zone", original.zone), ("--reply-zone", reply.zone)):
        if zone is not None:
            words.append(f"{option} {zone}")
    words += [
        f"-s {original.source} -d {original.destination}",
        f"{'-g' if is_destination_translated(flow) else '-r'} {reply.source}",
        f"{'-n' if is_source_translated(flow) else '-q'} {reply.destination}",
        f"-p {original.protocol if name == 'unknown' else name}",
        *_details(original, reply, name),
    ]
    if flow.state is not None:
        words.append(f"--state {flow.state}")
    if flow.vtags is not None:
        original_tag, reply_tag = map(written_tag, flow.vtags)
        words.append(f"--orig-vtag {original_tag} --reply-vtag {reply_tag}")
    return " ".join(words)


def _details(original: Direction, reply: Direction, name: str) -> list[str]:
    if original.protocol in _ICMP:
        values = (("type", original.icmp_type), ("code", original.icmp_code), ("id", original.icmp_id))
        return [f"--{name}-{part} {value}" for part, value in values if value is not None]
    if original.protocol in _WITH_PORTS:
        options = ("--sport", "--dport", "--reply-port-src", "--reply-port-dst")
    elif original.protocol == _GRE:
        options = ("--srckey", "--dstkey", "--reply-key-src", "--reply-key-dst")
    else:
        return []
    ports = (original.source_port, original.destination_port, reply.source_port, reply.destination_port)
    return [f"{option} {port}" for option, port in zip(options, ports, strict=True) if port is not None]
