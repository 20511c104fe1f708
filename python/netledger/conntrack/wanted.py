"""Which flows are meant."""

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, final

from netledger.conntrack.flows import Family, Status

if TYPE_CHECKING:
    from netledger._core_conntrack import _Ends, _Network, _Wanted

__all__ = ["Filter", "Network", "native_filter"]

Network: TypeAlias = str | ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network
"""An address or a network, as text or as an object; bits behind the prefix are ignored."""

_NETWORKS: Final = (
    str,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)
_MARK_MAX: Final = 2**32 - 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Flows for which all that is given holds.

    Attributes:
        family: the version of IP.
        protocol: a number, 0 to 255.
        mark, mark_mask: of the mark, those bits. A flow without a mark has mark 0.
        zone: of both directions or of one. A flow without a zone has zone 0.
        status, status_mask: of the status, those bits; without a mask, the bits of ``status`` are all set.
        original_source, original_destination, reply_source, reply_destination: addresses or networks.
        original_source_port, original_destination_port, reply_source_port, reply_destination_port: ports, or keys of
            GRE.
        icmp_type, icmp_code, icmp_id: of the original direction.

    Raises:
        ValueError: a number that cannot be or is none (names of protocols and services are not taken), a network that
            is none, or two versions of IP.
    """

    family: Family | None = None
    protocol: int | None = None
    mark: int | None = None
    mark_mask: int = _MARK_MAX
    zone: int | None = None
    status: Status | None = None
    status_mask: Status | None = None
    original_source: Network | None = None
    original_destination: Network | None = None
    reply_source: Network | None = None
    reply_destination: Network | None = None
    original_source_port: int | None = None
    original_destination_port: int | None = None
    reply_source_port: int | None = None
    reply_destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_id: int | None = None

    def __post_init__(self) -> None:
        for greatest, names in (
            (2**8 - 1, ("protocol", "icmp_type", "icmp_code")),
            (2**16 - 1, ("zone", "icmp_id", *_PORTS)),
            (_MARK_MAX, ("mark", "mark_mask", "status", "status_mask")),
        ):
            for name in names:
                number: object = getattr(self, name)
                if number is not None and not _is_number(number, greatest):
                    raise ValueError(f"{name} is a number 0 to {greatest}, not {number!r}")
        if self.status_mask is not None and self.status is None:
            raise ValueError("status_mask goes with a status")
        families = {_family_of(name, network) for name in _ENDS if (network := getattr(self, name)) is not None}
        if self.family is not None:
            if not _is_number(self.family, max(Family)) or self.family not in tuple(Family):
                raise ValueError(f"family is Family.IPV4 or Family.IPV6, not {self.family!r}")
            families.add(self.family)
        if len(families) > 1:
            raise ValueError("a flow is of one version of IP, and this asks for both")


_ENDS: Final = ("original_source", "original_destination", "reply_source", "reply_destination")
_PORTS: Final = tuple(f"{end}_port" for end in _ENDS)


def _is_number(value: object, greatest: int) -> bool:
    # True is a number to Python, and a slip here.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= greatest


def _family_of(name: str, network: object) -> Family:
    # Python would take a number for an address, too.
    if not isinstance(network, _NETWORKS):
        raise ValueError(f"{name} is an address or a network, as in '10.0.0.0/8', not {network!r}")  # noqa: TRY004  # what a filter cannot be is a ValueError, of each field
    try:
        return _family(_network(network))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _network(network: Network) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(network, strict=False)


def _family(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Family:
    return Family.IPV4 if isinstance(network, ipaddress.IPv4Network) else Family.IPV6


def native_filter(wanted: Filter | None) -> "_Wanted":
    """A filter as the core takes it."""
    wanted = wanted or Filter()
    status = None
    if wanted.status is not None:
        mask = wanted.status if wanted.status_mask is None else wanted.status_mask
        status = (int(wanted.status), int(mask))
    original: _Ends = (
        _native_network(wanted.original_source),
        _native_network(wanted.original_destination),
        wanted.original_source_port,
        wanted.original_destination_port,
        wanted.icmp_type,
        wanted.icmp_code,
        wanted.icmp_id,
    )
    reply: _Ends = (
        _native_network(wanted.reply_source),
        _native_network(wanted.reply_destination),
        wanted.reply_source_port,
        wanted.reply_destination_port,
        None,
        None,
        None,
    )
    mark = None if wanted.mark is None else (wanted.mark, wanted.mark_mask)
    family = None if wanted.family is None else int(wanted.family)
    return family, wanted.protocol, mark, status, wanted.zone, original, reply


def _native_network(network: Network | None) -> "_Network | None":
    if network is None:
        return None
    parsed = _network(network)
    return int(_family(parsed)), parsed.network_address.packed, parsed.prefixlen
