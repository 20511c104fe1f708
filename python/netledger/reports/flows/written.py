"""Flows as a table for people, and as JSON for programs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TextIO

from netledger.conntrack import Flow
from netledger.receipt import rfc3339
from netledger.reports.aligned import Column, fits, fitted, lines, width_of, wrapped
from netledger.reports.flows import told
from netledger.reports.flows.chosen import Listing, identity
from netledger.reports.flows.told import End
from netledger.reports.remarks import counted, duration
from netledger.reports.units import Unit, shown_bytes

HostNames = Mapping[bytes, str | None]
"""Names of addresses of 4 or 16 bytes, where they were asked for."""

_UNKNOWN: Final = "-"
_BOTH: Final = " / "

# What is left out first on a narrow terminal. Names were asked for, and go last; ends and bytes never go.
_RANK_NAT: Final = 1
_RANK_SERVICE: Final = 2
_RANK_AGE: Final = 3
_RANK_ZONE: Final = 4
_RANK_STATE: Final = 5
_RANK_NAMES: Final = 6
_RANK_PACKETS: Final = 7


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
    """Prints a table, and what must be said beneath; on a terminal as wide as that is."""
    made = table(listing, notes, unit, names=names, has_rates=has_rates, width=width_of(file))
    file.writelines(f"{line}\n" for line in made)


def table(
    listing: Listing,
    notes: Sequence[str],
    unit: Unit,
    *,
    names: HostNames | None = None,
    has_rates: bool = False,
    width: int | None = None,
) -> Iterator[str]:
    """The lines of the same; without a width as long as they are.

    Where they do not fit, columns are left out, which is said; then each flow has two lines. No address is broken.
    """
    columns = list(_columns(listing, unit, names, has_rates=has_rates))
    shown = columns if width is None else _in_width(columns, width)
    yield from lines(shown)
    kept = {title for column in shown for title in column.title.split(_BOTH)}
    missing = ", ".join(column.title for column in columns if column.title not in kept)
    narrow = [f"no room for {missing} (a pipe has all)"] if missing else []
    yield from wrapped(_beneath(listing, [*narrow, *notes]), width)


def _in_width(columns: list[Column], width: int) -> list[Column]:
    one_line = fitted(columns, width, rank=_RANK_STATE)
    return one_line if fits(one_line, width) else fitted(_stacked(columns), width, rank=_RANK_PACKETS)


def _stacked(columns: Sequence[Column]) -> list[Column]:
    """Two lines for each flow: its destination stands beneath its source."""
    beneath = {column.title.removeprefix("destination"): column for column in columns if _is_of(column, "destination")}
    made = []
    for column in columns:
        if _is_of(column, "destination"):
            continue
        title, second = column.title, [""] * len(column.cells)
        if _is_of(column, "source"):
            other = beneath[title.removeprefix("source")]
            title, second = f"{title}{_BOTH}{other.title}", other.cells
        cells = [cell for both in zip(column.cells, second, strict=True) for cell in both]
        made.append(replace(column, title=title, cells=cells))
    return made


def _is_of(column: Column, end: str) -> bool:
    return column.title.split(" ")[0] == end


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

    def texts(title: str, of: Callable[[Flow], str], total: str = "", rank: int = 0) -> Column:
        return Column(title, [of(flow) for flow in flows], total, is_right=False, rank=rank)

    def host(of: Callable[[Flow], End]) -> Callable[[Flow], str]:
        return lambda flow: (names or {}).get(of(flow).raw) or ""

    yield texts("proto", told.protocol, "total")
    yield texts("source", lambda flow: told.source(flow).text)
    if names is not None:
        yield texts("source name", host(told.source), rank=_RANK_NAMES)
    yield texts("destination", lambda flow: told.destination(flow).text)
    if names is not None:
        yield texts("destination name", host(told.destination), rank=_RANK_NAMES)
    # What nearly no machine has takes no room where it is not.
    for column in (texts("service", told.service, rank=_RANK_SERVICE), texts("nat", _nat, rank=_RANK_NAT)):
        if any(column.cells):
            yield column
    yield texts("state", told.state, rank=_RANK_STATE)
    yield from _numbers(listing, unit, has_rates=has_rates)


def _numbers(listing: Listing, unit: Unit, *, has_rates: bool) -> Iterator[Column]:
    flows, totals, rates = listing.flows, listing.totals, listing.rates

    def numbers(title: str, of: Callable[[Flow], str], total: str = "", rank: int = 0) -> Column:
        return Column(title, [of(flow) for flow in flows], total, is_right=True, rank=rank)

    for column in (numbers("zone", _shown_zone, rank=_RANK_ZONE), numbers("mark", _shown_mark, rank=_RANK_ZONE)):
        if any(cell != "0" for cell in column.cells):
            yield column
    if any(flow.start_ns is not None for flow in flows):
        yield numbers("age", lambda flow: _age(flow, listing.taken_ns), rank=_RANK_AGE)
    if has_rates:
        yield numbers("bytes/s", lambda flow: _bytes(rates.get(identity(flow)), unit))
    yield numbers("sent", lambda flow: _bytes(flow.original.bytes, unit), shown_bytes(totals.sent.bytes, unit))
    yield numbers("received", lambda flow: _bytes(flow.reply.bytes, unit), shown_bytes(totals.received.bytes, unit))
    packets = f"{totals.sent.packets + totals.received.packets:,}"
    yield numbers("packets", _packets, packets, rank=_RANK_PACKETS)


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
