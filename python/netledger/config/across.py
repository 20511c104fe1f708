"""Mistakes that no single value shows: two meters that want the same group, options that cancel each other.

Works on the parsed text, not on the model, so that these are found together with all others.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final

from netledger.config import durations, exports
from netledger.config.attribution import KINDS
from netledger.config.problems import Path, dotted
from netledger.config.toml import table, value_to_toml
from netledger.errors import NetledgerError
from netledger.schema import CONNECTION_COLUMNS
from netledger.sources.interfaces import takes_all

_RADIUS_LISTEN: Final = str(KINDS["radius"].model_fields["listen"].default)
_Six = ipaddress.IPv6Address
_Address = ipaddress.IPv4Address | _Six
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PACKET_COLUMNS = ("interface", "label")
_WITHOUT_LABEL: Final[Mapping[object, str]] = {"packet": "a packet socket", "bpf": "a program of the kernel"}
_SELECTIONS = ("interfaces", "interfaces_excluded", "networks", "networks_excluded")
SOURCE_TABLES = ("bpf", "nflog", "packet", "conntrack", "nfacct")
"""Tables of a meter, each of one source."""
OF_ADDRESSES = ("local", "key", "prefix_length", "rows_max", *_SELECTIONS)
"""Keys of a meter that named counters have no use for."""


def check(document: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """The mistakes, each as path, cause and hint."""
    yield from _kept(table(document.get("ledger")))
    yield from exports.check(document)
    yield from _listened_twice(table(document.get("attribution")))
    owners: dict[int, Path] = {}
    for name, meter in table(document.get("meters")).items():
        settings = table(meter)
        yield from _twice(("meters", name, "key"), settings.get("key"))
        yield from _not_of_source(("meters", name, "key"), settings)
        yield from _of_another_source(("meters", name), settings)
        yield from _too_long(("meters", name), settings)
        yield from _of_attach(("meters", name), settings)
        yield from _of_nothing(("meters", name), settings)
        groups = table(settings.get("nflog")).get("groups")
        if not isinstance(groups, list) or not groups:
            continue
        yield from _useless(("meters", name), settings)
        for position, entry in enumerate(groups):
            group = table(entry).get("group")
            path = ("meters", name, "nflog", "groups", position, "group")
            if not isinstance(group, int) or isinstance(group, bool):
                continue
            if group in owners:
                yield path, f"group {group} is taken by {dotted(owners[group])}", "a group has one listener"
            else:
                owners[group] = path


def _kept(ledger: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Hourly sums that would go before the rows that they are made of."""
    rollups = ledger.get("keep_rollups")
    seconds = durations.parse(rollups) if isinstance(rollups, str) else None
    if seconds is None:
        return
    if "keep_detail" not in ledger:
        yield ("ledger", "keep_rollups"), "has no effect while rows are kept for ever", "set keep_detail too"
        return
    detail = ledger["keep_detail"]
    detail_seconds = durations.parse(detail) if isinstance(detail, str) else None
    if detail_seconds is not None and seconds < detail_seconds:
        yield ("ledger", "keep_rollups"), f"is shorter than keep_detail, {detail}", "hourly sums stay as long as rows"


def _listened_twice(attributions: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Servers that would take each other's place: the second could not begin."""
    taken: list[tuple[str, _Address, int]] = []
    for name, settings in attributions.items():
        one = table(settings)
        text = one.get("listen", _RADIUS_LISTEN)
        if one.get("source") != "radius" or not isinstance(text, str):
            continue
        host, _, digits = text.rpartition(":")
        try:
            address, port = ipaddress.ip_address(host.strip("[]")), int(digits)
        except ValueError:
            continue  # told where it stands
        for other, there, its_port in taken:
            if port == its_port and (_takes(address, there) or _takes(there, address)):
                why = f"{text} is taken by {dotted(('attribution', other))}"
                yield ("attribution", name, "listen"), why, "another address or port, or one table with several clients"
                break
        taken.append((name, address, port))


def _takes(address: _Address, other: _Address) -> bool:
    """Whether who listens at an address gets what is sent to the other one too."""
    is_every = address.is_unspecified and (address.version == other.version or isinstance(address, _Six))
    return is_every or address == other


def _twice(path: Path, values: object) -> Iterator[tuple[Path, str, str | None]]:
    """What stands more than once; here and not in the model, which says so only of lists without another mistake."""
    texts = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    for text in dict.fromkeys(texts):
        if texts.count(text) > 1:
            yield path, f"{value_to_toml(text)} stands twice", None


def _not_of_source(path: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Columns that the meter's source knows nothing of: they would be empty in every row."""
    key, source = settings.get("key"), settings.get("source", "auto")
    is_of_flows = source == "conntrack"
    for position, column in enumerate(key if isinstance(key, list) else ()):
        if column in CONNECTION_COLUMNS and not is_of_flows:
            why = f"{value_to_toml(column)} belongs to connections, and packets do not tell it"
            yield (*path, position), why, 'leave it out, or count flows: source = "conntrack"'
        elif column in _PACKET_COLUMNS and is_of_flows:
            why = f"{value_to_toml(column)} belongs to packets, and connection tracking does not know it"
            yield (*path, position), why, 'leave it out, or count packets: source = "nflog"'
        elif column == "label" and source in _WITHOUT_LABEL:
            why = f'"label" is what a rule of netfilter gives, and {_WITHOUT_LABEL[source]} has none'
            yield (*path, position), why, 'leave it out, or count by rules: source = "nflog"'


def _of_another_source(meter: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Tables of sources that the meter does not use, and keys that its source cannot heed."""
    source = settings.get("source", "auto")
    mechanisms = ("bpf", "nflog") if source == "auto" else (source,)
    for name in SOURCE_TABLES if source in ("auto", *SOURCE_TABLES) else ():
        if name in settings and name not in mechanisms:
            yield (*meter, name), f"has no effect on the source {source}", f'it is for source = "{name}"'
    for name in OF_ADDRESSES if source == "nfacct" else ():
        if name in settings:
            yield (*meter, name), "has no effect on named counters", "they have no addresses; leave it out"
    for name in _SELECTIONS:
        if settings.get(name) and source == "conntrack":
            yield (*meter, name), "has no effect on flows", "conntrack knows no interfaces; choose with --where"
    if source == "nfacct" and "netns" in settings:
        why = "has no effect on named counters"
        yield (*meter, "netns"), why, "they are those of the program's own namespace; run one there"


def _of_attach(meter: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Keys of the source bpf that do not go together."""
    source, bpf = settings.get("source", "auto"), table(settings.get("bpf"))
    hooks = [table(settings.get(name)).get("hooks") for name in ("bpf", "nflog")]
    if source == "auto" and all(isinstance(one, list) for one in hooks) and hooks[0] != hooks[1]:
        why = "are others than those of nflog, and auto may be either"
        yield (*meter, "bpf", "hooks"), why, "give them once, or name the source"
    if bpf.get("attach") != "tcx":
        return
    if source == "auto":
        yield (*meter, "bpf", "attach"), "auto counts at the hooks of netfilter", 'name it: source = "bpf"'
    if "hooks" in bpf:
        yield (*meter, "bpf", "hooks"), "has no effect on tcx", "it is for the hooks of netfilter"
    if bpf.get("prove") is True:
        why = "no counter of nftables sees the same bytes at an interface"
        yield (*meter, "bpf", "prove"), why, "leave it out, or count at the hooks of netfilter"


def _of_nothing(meter: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """Meters that leave out all that they choose."""
    chosen, excluded = (_texts(settings.get(name)) for name in ("interfaces", "interfaces_excluded"))
    if chosen and all(any(takes_all(other, one) for other in excluded) for one in chosen):
        why = "leave out all of interfaces: nothing would be counted"
        yield (*meter, "interfaces_excluded"), why, "leave out a part of them, or choose others"
    chosen, excluded = (_texts(settings.get(name)) for name in ("networks", "networks_excluded"))
    try:
        inner, outer = ([ipaddress.ip_network(one) for one in texts] for texts in (chosen, excluded))
    except ValueError:
        return  # told where it stands
    if inner and all(any(_holds(other, one) for other in outer) for one in inner):
        why = "leave out all of networks: nothing would be counted"
        yield (*meter, "networks_excluded"), why, "leave out a part of them, or choose others"


def _holds(outer: _Network, inner: _Network) -> bool:
    if outer.version != inner.version:
        return False
    first, last = inner.network_address, inner.broadcast_address
    return first in outer and last in outer


def _too_long(meter: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    """More networks, beside an expression, than the kernel can be told."""
    networks, excluded = (_texts(settings.get(name)) for name in ("networks", "networks_excluded"))
    if settings.get("source") != "packet" or not (networks or excluded):
        return
    # Only who has such a meter waits until this is loaded.
    from netledger.sources.packet_filter import PacketChoice  # noqa: PLC0415  (as said above)
    from netledger.sources.packet_program import TooLongError  # noqa: PLC0415  (the same)

    expression = table(settings.get("packet")).get("filter")
    choice = PacketChoice(
        networks=networks, networks_excluded=excluded, expression=expression if isinstance(expression, str) else ""
    )
    try:
        choice.program()
    except TooLongError as error:
        yield (*meter, "networks" if networks else "networks_excluded"), str(error), "join networks that touch"
    except (ValueError, NetledgerError):
        return  # told where it stands


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _useless(meter: Path, settings: Mapping[str, object]) -> Iterator[tuple[Path, str, str | None]]:
    for name in _SELECTIONS:
        if settings.get(name):
            yield (*meter, name), "has no effect on given groups", "your own rules choose their packets; leave it out"
    for name in ("table", "hooks"):
        if name in table(settings.get("nflog")):
            yield (*meter, "nflog", name), "has no effect on given groups", "it is for rules of netledger's own"
