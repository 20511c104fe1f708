"""Lease files of DHCP servers."""

from typing import Literal, final

from pydantic import Field

from netledger.config.part import Part
from netledger.config.values import File

_KIND = "The kind of source."


class _Leases(Part):
    """What all of them have."""

    subject: Literal["host_name", "mac"] = Field(
        default="host_name",
        description="What the holder is called: by the name that the device gives itself, or else its MAC; or "
        "always by its MAC, for a device can call itself what it likes.",
    )


@final
class Dnsmasq(_Leases):
    """Leases of dnsmasq, IPv4 and IPv6; see [dnsmasq](attribution.md#dnsmasq)."""

    source: Literal["dnsmasq"] = Field(description=_KIND)
    path: File = Field(default="/var/lib/misc/dnsmasq.leases", description="Its `dhcp-leasefile`.")


@final
class Isc(_Leases):
    """Leases of ISC dhcpd; see [isc](attribution.md#isc)."""

    source: Literal["isc"] = Field(description=_KIND)
    path: File = Field(
        default="/var/lib/dhcp/dhcpd.leases",
        description="Its lease file. That of IPv6 is `dhcpd6.leases` beside it.",
    )


@final
class Kea(_Leases):
    """Leases of Kea in files (`memfile`); see [kea](attribution.md#kea)."""

    source: Literal["kea"] = Field(description=_KIND)
    path: File = Field(
        default="/var/lib/kea/kea-leases4.csv",
        description="The `name` of its `lease-database`. The one of IPv6 is `kea-leases6.csv` beside it.",
    )
