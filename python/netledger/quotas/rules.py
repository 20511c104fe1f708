"""The rules that lead packets to a quota's object, as text for the operator: nothing here loads them."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from netledger.quotas.definition import Definition, Kind, Unit, Verdict

_IPV4: Final = 4
_CHAIN_BYTES_MAX: Final = 28  # what iptables takes for the name of a chain


def rules(one: Definition) -> list[str]:
    """A shell script for iptables or a file for ``nft -f``, line by line.

    A packet from and to the chosen addresses goes through the object once. Forwarded packets only: where those of the
    machine itself are meant, FORWARD or the hook is to be replaced.
    """
    return list(_nft(one) if one.kind is Kind.NFT else _iptables(one))


def removal(one: Definition) -> list[str]:
    """What takes :func:`rules` out again, in the same form. The object stays, and the quota."""
    if one.kind is Kind.NFT:
        lines = [f"# takes the rules of quota {one.name} out; to be loaded by you: nft -f FILE"]
        for chain in (one.name, f"{one.name}-counted"):
            lines += [f"flush chain {one.family} {one.table} {chain}", f"delete chain {one.family} {one.table} {chain}"]
        return lines
    chosen, counting = f"{_short(one)}-q", f"{_short(one)}-c"
    lines = [f"# takes the rules of quota {one.name} out; to be run by you: sh FILE", "set -e"]
    for program, _ in _by_version(one):
        lines.append(f"{program} -w -D FORWARD -j {chosen}")
        # The first uses the second, so it goes first.
        lines += [f"{program} -w -{step} {chain}" for chain in (chosen, counting) for step in ("F", "X")]
    return lines


def _iptables(one: Definition) -> Iterator[str]:
    yield f"# {_meaning(one)}"
    yield "# Reviewed and loaded by you: netledger never changes rules of yours. The object must be there before them."
    yield "# It can be loaded once: a second time it ends at its first line, and nothing is counted twice. To load it"
    yield f"# again take it out before: netledger quota rule {one.name} --remove"
    yield "set -e"
    chosen, counting = f"{_short(one)}-q", f"{_short(one)}-c"
    target = {None: "", Verdict.DROP: " -j DROP", Verdict.REJECT: " -j REJECT"}[one.verdict]
    for program, addresses in _by_version(one):
        yield f"{program} -w -N {counting}"
        yield f"{program} -w -A {counting} -m nfacct --nfacct-name {one.name}{target}"
        yield f"{program} -w -N {chosen}"
        # -g: the first that fits, and back behind the jump, so that a packet between two of them is counted once.
        for address in addresses:
            yield f"{program} -w -A {chosen} -s {address} -g {counting}"
            yield f"{program} -w -A {chosen} -d {address} -g {counting}"
        if not addresses:
            yield f"{program} -w -A {chosen} -g {counting}"
        yield f"{program} -w -I FORWARD -j {chosen}"


def _nft(one: Definition) -> Iterator[str]:
    yield f"# {_meaning(one)}"
    yield "# Reviewed and loaded by you (nft -f FILE): netledger never changes rules of yours. At its next look"
    yield "# it gives the object what is left in this period."
    yield f"table {one.family} {one.table} {{"
    yield f"  quota {one.name} {{ over {one.limit} bytes }}"
    yield f"  chain {one.name}-counted {{"
    # Without a verdict the rule only counts: it matches beyond the limit, and nothing follows.
    yield f'    quota name "{one.name}"{"" if one.verdict is None else f" {one.verdict}"}'
    yield "  }"
    yield f"  chain {one.name} {{"
    yield "    type filter hook forward priority filter; policy accept;"
    for address in one.addresses:
        family = "ip" if ip_network(address).version == _IPV4 else "ip6"
        yield f"    {family} saddr {address} goto {one.name}-counted"
        yield f"    {family} daddr {address} goto {one.name}-counted"
    if not one.addresses:
        yield f"    goto {one.name}-counted"
    yield "  }"
    yield "}"


def _by_version(one: Definition) -> Iterator[tuple[str, list[str]]]:
    versions = {address: ip_network(address).version for address in one.addresses}
    four = [address for address, version in versions.items() if version == _IPV4]
    six = [address for address, version in versions.items() if version != _IPV4]
    if four or not six:
        yield "iptables", four
    if six or not four:
        yield "ip6tables", six


def _short(one: Definition) -> str:
    return one.name[: _CHAIN_BYTES_MAX - 2]


def _meaning(one: Definition) -> str:
    unit = "packet" if one.unit is Unit.PACKETS else "byte"
    then = {
        None: "counts only",
        Verdict.DROP: f"drops the packet that comes beyond {unit} {one.limit}, and all behind it",
        Verdict.REJECT: f"rejects the packet that comes beyond {unit} {one.limit}, and all behind it",
    }[one.verdict]
    return f"quota {one.name}: {then}"
