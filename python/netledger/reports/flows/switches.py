"""What the kernel's switches leave out of a listing of flows, and how to have it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from netledger.reports.flows.chosen import Listing
from netledger.reports.remarks import counted

_FOLDER: Final = Path("/proc/sys/net/netfilter")
_ACCT: Final = "nf_conntrack_acct"
_EVENTS: Final = "nf_conntrack_events"
_TIMESTAMP: Final = "nf_conntrack_timestamp"

Switch = Callable[[str], str | None]
"""What a switch says; None where this kernel does not have it."""


def switch(name: str) -> str | None:
    """What it says in this network namespace."""
    try:
        return (_FOLDER / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def of_listing(listing: Listing, said: Switch, *, is_all: bool, sort: str) -> Iterator[str]:
    """Of what is listed. ``is_all`` says that no condition left flows out."""
    totals = listing.totals
    if is_all and not totals.flows:
        yield "the kernel tracks flows only where a rule of the firewall asks for it, as `ct state established` does"
    if said(_ACCT) == "0":
        what = f"{counted(totals.uncounted, 'flow')} without counters: " if totals.uncounted else ""
        yield f"{what}{_ACCT} is 0; {_on(_ACCT)} counts the flows that begin afterwards"
    elif totals.uncounted:
        yield f"{counted(totals.uncounted, 'flow')} without counters: they began before {_ACCT} was 1"
    if sort == "age" and said(_TIMESTAMP) == "0":
        yield f"flows that do not say when they began come last: {_TIMESTAMP} is 0; {_on(_TIMESTAMP)}"


def of_stream(said: Switch) -> Iterator[str]:
    """Of events."""
    if said(_ACCT) == "0":
        yield f"flows end without counters: {_ACCT} is 0; {_on(_ACCT)} counts the flows that begin afterwards"
    if said(_EVENTS) == "0":
        yield f"nothing will be told: {_EVENTS} is 0; {_on(_EVENTS)}"
    elif said(_EVENTS) == "2":
        yield f"flows that began while no program listened end untold: {_EVENTS} is 2; {_on(_EVENTS)}"


def _on(name: str) -> str:
    return f"`sysctl -w net.netfilter.{name}=1`"
