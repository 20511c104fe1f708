"""Whether and to what the addresses of a flow are translated."""

from netledger.conntrack import Flow, Status

__all__ = [
    "is_destination_port_translated",
    "is_destination_translated",
    "is_source_port_translated",
    "is_source_translated",
]


def is_source_translated(flow: Flow) -> bool:
    """Whether the reply goes to another address than the one that the flow came from."""
    return _done(flow, Status.SRC_NAT_DONE) and flow.reply.destination_raw != flow.original.source_raw


def is_destination_translated(flow: Flow) -> bool:
    """Whether the reply comes from another address than the one that the flow went to."""
    return _done(flow, Status.DST_NAT_DONE) and flow.reply.source_raw != flow.original.destination_raw


def is_source_port_translated(flow: Flow) -> bool:
    """The same for ports."""
    return _done(flow, Status.SRC_NAT_DONE) and flow.reply.destination_port != flow.original.source_port


def is_destination_port_translated(flow: Flow) -> bool:
    """The same for ports."""
    return _done(flow, Status.DST_NAT_DONE) and flow.reply.source_port != flow.original.destination_port


def _done(flow: Flow, bit: Status) -> bool:
    return flow.status is None or bool(flow.status & bit)
