"""The source of a meter and the exports, made from the configuration."""

from pathlib import Path
from typing import TypedDict

from netledger.config import Config, Meter
from netledger.errors import SourceError
from netledger.exports.formats import Export
from netledger.reports import zones
from netledger.sources import bpf_probe
from netledger.sources.base import Key, Source
from netledger.sources.bpf import BpfSource
from netledger.sources.bpf_config import BpfConfig
from netledger.sources.conntrack import ConntrackConfig, ConntrackSource
from netledger.sources.named import Choice
from netledger.sources.named_counters import NamedCountersConfig, NamedCountersSource
from netledger.sources.nflog_groups import GivenGroup, GivenGroupsConfig, GivenGroupsSource
from netledger.sources.nflog_managed import ManagedNflogConfig, ManagedNflogSource
from netledger.sources.packet import PacketConfig, PacketSource
from netledger.sources.packet_filter import PacketChoice
from netledger.sources.placed import PlacedSource

_STRICT = {None: 0, "ipv4": 4, "ipv6": 6}


def make_source(name: str, meter: Meter, config: Config) -> Source:
    """The source of one meter whose mechanism is chosen; inert until it is opened.

    Raises:
        SourceError: there is no such source.
    """
    source = _unplaced(name, meter, config)
    return source if meter.netns is None else PlacedSource(source, meter.netns)


def _unplaced(name: str, meter: Meter, config: Config) -> Source:
    match meter.source:
        case "nfacct":
            return _named_counters(name, meter, config)
        case "packet":
            return _packet(name, meter, config)
        case "conntrack":
            return _conntrack(name, meter, config)
        case "nflog":
            return _nflog_groups(name, meter, config) if meter.nflog.groups else _nflog_managed(name, meter, config)
        case "bpf":
            return _bpf(name, meter, config)
        case "auto":
            raise SourceError(f"meter {name}", "open", f"nothing counts by {meter.source}")


def probe_bpf(meter: Meter) -> None:
    """Whether a meter can be counted by bpf at the hooks of netfilter; leaves nothing behind. Blocks for some 100 ms.

    Raises:
        SourceError: why not, and in the hint what it would take.
    """
    bpf_probe.probe(
        key=_key(meter),
        rows_max=meter.rows_max,
        hooks=meter.bpf.hooks,
        interfaces=meter.interfaces,
        interfaces_excluded=meter.interfaces_excluded,
        networks=meter.networks,
        networks_excluded=meter.networks_excluded,
    )


def make_exports(config: Config) -> list[Export]:
    """The exports; inert until they are opened."""
    return [
        Export(
            name=name,
            format=one.format,
            directory=Path(one.directory),
            meters=one.meters,
            side=one.go_nflog_acctd.account,
            zone=None if one.go_nflog_acctd.timezone is None else zones.find(one.go_nflog_acctd.timezone).rules,
            strict_bytes=one.go_nflog_acctd.strict_bytes,
        )
        for name, one in config.exports.items()
    ]


def _bpf(name: str, meter: Meter, config: Config) -> Source:
    return BpfSource(
        BpfConfig(
            **_place(name, config),
            key=_key(meter),
            rows_max=meter.rows_max,
            attach=meter.bpf.attach,
            hooks=meter.bpf.hooks,
            interfaces=meter.interfaces,
            interfaces_excluded=meter.interfaces_excluded,
            networks=meter.networks,
            networks_excluded=meter.networks_excluded,
            prove=meter.bpf.prove,
        )
    )


def _nflog_managed(name: str, meter: Meter, config: Config) -> Source:
    return ManagedNflogSource(
        ManagedNflogConfig(
            **_place(name, config),
            key=_key(meter),
            rows_max=meter.rows_max,
            table=meter.nflog.table,
            hooks=meter.nflog.hooks,
            interfaces=meter.interfaces,
            interfaces_excluded=meter.interfaces_excluded,
            networks=meter.networks,
            networks_excluded=meter.networks_excluded,
            buffer_bytes=meter.nflog.buffer_bytes,
        )
    )


def _nflog_groups(name: str, meter: Meter, config: Config) -> Source:
    groups = [
        GivenGroup(number=one.group, account=one.account, strict_family=_STRICT[one.family])
        for one in meter.nflog.groups
    ]
    return GivenGroupsSource(
        GivenGroupsConfig(
            **_place(name, config),
            groups=tuple(groups),
            key=_key(meter),
            rows_max=meter.rows_max,
            buffer_bytes=meter.nflog.buffer_bytes,
        )
    )


def _named_counters(name: str, meter: Meter, config: Config) -> Source:
    return NamedCountersSource(
        NamedCountersConfig(
            **_place(name, config),
            choice=Choice(objects=meter.nfacct.objects, nft=meter.nfacct.nft, ensure=meter.nfacct.ensure),
        )
    )


def _conntrack(name: str, meter: Meter, config: Config) -> Source:
    return ConntrackSource(
        ConntrackConfig(
            **_place(name, config),
            key=_key(meter),
            rows_max=meter.rows_max,
            buffer_bytes=meter.conntrack.buffer_bytes,
            prove=meter.conntrack.prove,
            zones=meter.conntrack.zones,
        )
    )


def _packet(name: str, meter: Meter, config: Config) -> Source:
    return PacketSource(
        PacketConfig(
            **_place(name, config),
            key=_key(meter),
            rows_max=meter.rows_max,
            interfaces=meter.interfaces,
            interfaces_excluded=meter.interfaces_excluded,
            choice=PacketChoice(
                networks=meter.networks,
                networks_excluded=meter.networks_excluded,
                expression=meter.packet.filter,
            ),
            promiscuous=meter.packet.promiscuous,
            ring_bytes=meter.packet.ring_bytes,
            threads=meter.packet.threads,
        )
    )


class _Place(TypedDict):
    """What every source is told first: whose it is, and where its state lies."""

    meter: str
    node: str
    runtime: Path
    store: Path


def _place(name: str, config: Config) -> _Place:
    return {
        "meter": name,
        "node": config.node,
        "runtime": Path(config.runtime) / name,
        "store": Path(config.store) / "meters",
    }


def _key(meter: Meter) -> Key:
    return Key(
        columns=meter.key,
        ipv4_prefix_length=meter.prefix_length.ipv4,
        ipv6_prefix_length=meter.prefix_length.ipv6,
        local=meter.local,
    )
