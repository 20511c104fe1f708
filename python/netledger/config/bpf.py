"""What only the source bpf has: `[meters.NAME.bpf]`."""

from collections.abc import Mapping
from typing import Literal, final

from pydantic import Field

from netledger.config.part import Part
from netledger.config.sources import Hooks


@final
class Bpf(Part):
    """What only the source bpf has, `[meters.NAME.bpf]`; see [counted in the kernel](../explanation/bpf.md)."""

    attach: Literal["netfilter", "tcx"] = Field(
        default="netfilter",
        description="Where packets are counted: at the hooks of `netfilter`, as nflog does, each packet once; or at "
        "each chosen interface (`tcx`), before any filter and with what the wire has.",
    )
    hooks: Hooks = Field(
        default=("input", "forward", "output"),
        description="Where packets are counted with `netfilter`: to this machine, through it, from it. With "
        '`source = "auto"` it is the same as `hooks` of nflog; either may be given.',
    )
    prove: bool = Field(
        default=False,
        description="Count the same packets in an nftables table of its own, so that receipts can prove the program; "
        "with `netfilter` only.",
    )


def with_the_same_hooks(settings: object) -> object:
    """A meter as it is written, whose two possible sources count at the same hooks where it names those of one."""
    if not isinstance(settings, Mapping) or settings.get("source", "auto") != "auto":
        return settings
    tables = {name: settings.get(name, {}) for name in ("bpf", "nflog")}
    if not all(isinstance(one, Mapping) for one in tables.values()):
        return settings
    bpf, nflog = tables["bpf"], tables["nflog"]
    if "groups" in nflog or ("hooks" in bpf) == ("hooks" in nflog):
        return settings
    hooks = bpf.get("hooks", nflog.get("hooks"))
    if not isinstance(hooks, list) or not hooks or not all(hook in ("input", "forward", "output") for hook in hooks):
        return settings  # told where it stands
    return {**settings, "bpf": {**bpf, "hooks": hooks}, "nflog": {**nflog, "hooks": hooks}}
