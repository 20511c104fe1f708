"""The flows of the kernel's connection tracking (``nf_conntrack``), with their counters: a netlink API.

    from netledger import conntrack

    for flow in conntrack.dump():
        print(flow.original.source, flow.original.destination, flow.original.bytes, flow.reply.bytes)

It is for any program and needs no daemon. Flows belong to a network namespace; each call is about that of the calling
thread. All need CAP_NET_ADMIN, and those that do not say otherwise do not block: the kernel answers while it is asked.

The kernel tracks flows only where a rule of the firewall asks for it, and counts their packets only with
``net.netfilter.nf_conntrack_acct`` at 1.
"""

from netledger.conntrack.flows import CpuStats, Direction, Event, EventKind, Expectation, Family, Flow, Lost, Status
from netledger.conntrack.stream import EVENT_QUEUE_BYTES, Events, events
from netledger.conntrack.table import (
    count,
    count_max,
    delete,
    dump,
    dying,
    expectations,
    flush,
    get,
    reset,
    stats,
    unconfirmed,
    zero,
)
from netledger.conntrack.wanted import Filter, Network

__all__ = [
    "EVENT_QUEUE_BYTES",
    "CpuStats",
    "Direction",
    "Event",
    "EventKind",
    "Events",
    "Expectation",
    "Family",
    "Filter",
    "Flow",
    "Lost",
    "Network",
    "Status",
    "count",
    "count_max",
    "delete",
    "dump",
    "dying",
    "events",
    "expectations",
    "flush",
    "get",
    "reset",
    "stats",
    "unconfirmed",
    "zero",
]
