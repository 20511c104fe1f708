"""Flows as the kernel tells them, put together by hand."""

import ipaddress

from netledger.conntrack import Direction, Family, Flow, Status

TCP, UDP, ICMP, GRE = 6, 17, 1, 47
ASSURED = Status.SEEN_REPLY | Status.ASSURED | Status.CONFIRMED


def direction(
    source: str, destination: str, *, protocol: int = TCP, counted: tuple[int, int] | None = (0, 0), **more: int
) -> Direction:
    """One direction, of ``192.0.2.1:80`` to ``192.0.2.2:443``; ``counted`` are bytes and packets."""
    ends: dict[str, int] = {}
    raw = {}
    for name, text in (("source", source), ("destination", destination)):
        address, _, port = text.rpartition(":") if text.count(":") == 1 or text.startswith("[") else (text, "", "")
        raw[name] = ipaddress.ip_address(address.strip("[]")).packed
        if port:
            ends[f"{name}_port"] = int(port)
    octets, packets = (None, None) if counted is None else counted
    return Direction(
        source_raw=raw["source"], destination_raw=raw["destination"], protocol=protocol, bytes=octets, packets=packets,
        **ends, **more,
    )  # fmt: skip


def flow(
    source: str,
    destination: str,
    *,
    sent: tuple[int, int] | None = (0, 0),
    received: tuple[int, int] | None = (0, 0),
    protocol: int = TCP,
    nat_source: str | None = None,
    nat_destination: str | None = None,
    status: Status = ASSURED,
    icmp: tuple[int, int, int] | None = None,
    state: str | None = None,
    mark: int | None = None,
    zone: int | None = None,
    number: int | None = None,
    start_ns: int | None = None,
    timeout_seconds: int | None = None,
) -> Flow:
    """A flow between its true ends; with NAT also what each end takes the other for."""
    more = {} if icmp is None else dict(zip(("icmp_type", "icmp_code", "icmp_id"), icmp, strict=True))
    original = direction(source, nat_destination or destination, protocol=protocol, counted=sent, **more)
    return Flow(
        family=Family.IPV4 if len(original.source_raw) == 4 else Family.IPV6,
        original=original,
        reply=direction(destination, nat_source or source, protocol=protocol, counted=received, **more),
        status=status,
        state=state,
        mark=mark,
        zone=zone,
        id=number,
        start_ns=start_ns,
        timeout_seconds=timeout_seconds,
    )
