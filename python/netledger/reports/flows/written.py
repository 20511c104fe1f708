"""Flows as a table for people, and as JSON for programs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TextIO

from netledger.conntrack import Flow
from netledger.receipt import rfc3339
from netledger.reports.aligned import Column, lines, print_aligned
from netledger.reports.flows import told
from netledger.reports.flows.chosen import Listing, identity
from netledger.reports.flows.told import End
from netledger.reports.remarks import counted, duration
from netledger.reports.units import Unit, shown_bytes

HostNames = Mapping[bytes, str | None]
"""Names of addresses of 4 or 16 bytes, where they were asked for."""

_UNKNOWN: Final = "-"


def write_json(
    listing: Listing, notes: Sequence[str], file: TextIO, *, names: HostNames | None = None, between: str = "\n"
) -> None:
    """Writes one object: when, the total, what must be said, and ``flows``, one to a line.

    With nothing ``between`` them all of it is one line.
    """
    totals = listing.totals
    head = {
        "taken_at": rfc3339(listing.taken_ns),
        "total": {
            "flows": totals.flows,
            "flows_uncounted": totals.uncounted,
            "sent_bytes": totals.sent.bytes,
            "sent_packets": totals.sent.packets,
            "received_bytes": totals.received.bytes,
            "received_packets": totals.received.packets,
        },
        "flows_left_out": listing.left_out,
        "notes": list(notes),
    }
    encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: to make it takes as long as to use it
    file.write(f'{encode(head)[:-1]}, "flows": [')
    separator = between
    for flow in listing.flows:
        one = told.as_json(flow) | _names_as_json(flow, names or {}) | _rate_as_json(flow, listing)
        file.write(f"{separator}{encode(one)}")
        separator = f",{between}"
    file.write(f"{between}]}}\n")


def _names_as_json(flow: Flow, names: HostNames) -> dict[str, object]:
    return {
        "source_name": names.get(told.source(flow).raw),
        "destination_name": names.get(told.destination(flow).raw),
    }


def _rate_as_json(flow: Flow, listing: Listing) -> dict[str, object]:
    return {"bytes_per_second": listing.rates.get(identity(flow))}


def print_table(
    listing: Listing,
    notes: Sequence[str],
    unit: Unit,
    file: TextIO,
    *,
    names: HostNames | None = None,
    has_rates: bool = False,
) -> None:
    """Prints a table, and what must be said beneath; folded where the terminal is too narrow."""
    print_aligned(list(_columns(listing, unit, names, has_rates=has_rates)), file)
    file.writelines(f"{line}\n" for line in _beneath(listing, notes))


def table(
    listing: Listing, notes: Sequence[str], unit: Unit, *, names: HostNames | None = None, has_rates: bool = False
) -> Iterator[str]:
    """The lines of the same, as long as they are."""
    yield from lines(list(_columns(listing, unit, names, has_rates=has_rates)))
    yield from _beneath(listing, notes)


def _beneath(listing: Listing, notes: Sequence[str]) -> Iterator[str]:
    yield ""
    totals = listing.totals
    if listing.left_out:
        all_flows = counted(totals.flows, "flow")
        yield f"shown: {len(listing.flows):,} of {all_flows} (--limit N shows more); the total is of all"
    else:
        yield counted(totals.flows, "flow")
    yield from notes


def _columns(listing: Listing, unit: Unit, names: HostNames | None, *, has_rates: bool) -> Iterator[Column]:
    flows = listing.flows

    def texts(title: str, of: Callable[[Flow], str], total: str = "") -> Column:
        return Column(title, [of(flow) for flow in flows], total, is_right=False)

    def host(of: Callable[[Flow], End]) -> Callable[[Flow], str]:
        return lambda flow: (names or {}).get(of(flow).raw) or ""

    yield texts("proto", told.protocol, "total")
    yield texts("source", lambda flow: told.source(flow).text)
    if names is not None:
        yield texts("source name", host(told.source))
    yield texts("destination", lambda flow: told.destination(flow).text)
    if names is not None:
        yield texts("destination name", host(told.destination))
    # What nearly no machine has takes no room where it is not.
    for column in (texts("service", told.service), texts("nat", _nat)):
        if any(column.cells):
            yield column
    yield texts("state", told.state)
    yield from _numbers(listing, unit, has_rates=has_rates)


def _numbers(listing: Listing, unit: Unit, *, has_rates: bool) -> Iterator[Column]:
    flows, totals, rates = listing.flows, listing.totals, listing.rates

    def numbers(title: str, of: Callable[[Flow], str], total: str = "") -> Column:
        return Column(title, [of(flow) for flow in flows], total, is_right=True)

    for column in (numbers("zone", _shown_zone), numbers("mark", _shown_mark)):
        if any(cell != "0" for cell in column.cells):
            yield column
    if any(flow.start_ns is not None for flow in flows):
        yield numbers("age", lambda flow: _age(flow, listing.taken_ns))
    if has_rates:
        yield numbers("bytes/s", lambda flow: _bytes(rates.get(identity(flow)), unit))
    yield numbers("sent", lambda flow: _bytes(flow.original.bytes, unit), shown_bytes(totals.sent.bytes, unit))
    yield numbers("received", lambda flow: _bytes(flow.reply.bytes, unit), shown_bytes(totals.received.bytes, unit))
    yield numbers("packets", _packets, f"{totals.sent.packets + totals.received.packets:,}")


def _shown_zone(flow: Flow) -> str:
    return str(told.zone(flow))


def _shown_mark(flow: Flow) -> str:
    number = told.mark(flow)
    return f"{number:#x}" if number else "0"


def _nat(flow: Flow) -> str:
    """What the ends take each other for."""
    asked, seen = told.nat_destination(flow), told.nat_source(flow)
    return ", ".join(
        (*(() if asked is None else (f"was to {asked.text}",)), *(() if seen is None else (f"as {seen.text}",)))
    )


def _age(flow: Flow, now_ns: int) -> str:
    # The wall clock may have been stepped since.
    return _UNKNOWN if flow.start_ns is None else duration(max(0, now_ns - flow.start_ns))


def _packets(flow: Flow) -> str:
    if flow.original.packets is None and flow.reply.packets is None:
        return _UNKNOWN
    return f"{told.total(flow, 'packets'):,}"


def _bytes(number: int | None, unit: Unit) -> str:
    return _UNKNOWN if number is None else shown_bytes(number, unit)
