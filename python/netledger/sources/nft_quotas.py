"""The quota objects of nftables, read by netlink: one small answer of the kernel, whatever else the ruleset holds."""

from dataclasses import dataclass
from typing import Final, final

from netledger import _core

_FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NftQuota:
    """A quota object.

    Attributes:
        family: of its table, as nft writes it.
        table: name of the table.
        name: its own.
        identity: another one when it, or its table, was deleted and made again.
        references: how many rules use it.
        limit: bytes.
        used: bytes; never told to be more than the limit, whatever has passed.
        is_over: whether it matches beyond the limit, and not below it.
    """

    family: str
    table: str
    name: str
    identity: str
    references: int
    limit: int
    used: int
    is_over: bool


def read() -> list[NftQuota]:
    """All of this network namespace. Needs CAP_NET_ADMIN; does not block.

    Raises:
        UnsteadyError: the ruleset was changed each time while it was read.
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    tables, quotas = _core.nft_quotas()
    handles = {(family, name): handle for family, name, handle in tables}
    return [
        NftQuota(
            family=_FAMILIES.get(family, str(family)),
            table=table.decode(errors="surrogateescape"),
            name=name.decode(errors="surrogateescape"),
            identity=f"{handles.get((family, table), 0)}.{handle}",
            references=references,
            limit=limit,
            used=used,
            is_over=is_over,
        )
        for family, table, name, handle, references, limit, used, is_over in quotas
    ]
