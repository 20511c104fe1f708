"""Which flows, in the same words as in ``netledger report``: ``address=10.1.0.0/16``, ``proto=udp``, ``port=443``.

A condition is a word, ``=`` or ``!=``, and values with commas between them. Conditions of the same word with ``=`` are
alternatives; everything else has to hold together. A flow that has nothing of a kind, as ICMP has no port, satisfies no
condition on it, neither ``=`` nor ``!=``. What the kernel can choose itself is asked of it; the rest is chosen here.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, final

from netledger.conntrack import Family, Filter, Flow
from netledger.reports import conditions
from netledger.reports.conditions import Condition, Grammar
from netledger.reports.flows import told
from netledger.reports.flows.told import End

_Test: TypeAlias = Callable[[Flow], bool | None]
"""Of a value, whether a flow has it; None where it has nothing of the kind."""

_STATE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FAMILIES: Final = {"4": Family.IPV4, "ipv4": Family.IPV4, "6": Family.IPV6, "ipv6": Family.IPV6}
_BITS: Final = {4: 32, 6: 128}


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions, understood.

    Attributes:
        texts: as they were written.
        asked: what the kernel is asked for.
        alternatives: of each, one test at least holds.
        refusals: none of these holds, and each flow has something of the kind.
    """

    texts: tuple[str, ...]
    asked: Filter
    alternatives: Sequence[Sequence[_Test]]
    refusals: Sequence[_Test]

    def takes(self, flow: Flow) -> bool:
        """Whether a flow is wanted."""
        return all(any(test(flow) for test in tests) for tests in self.alternatives) and all(
            test(flow) is False for test in self.refusals
        )


def understand(texts: Iterable[str]) -> Wanted:
    """Conditions as people write them.

    Raises:
        UsageError: one of them means nothing.
    """
    texts = tuple(texts)
    found = [_GRAMMAR.understand(text) for text in texts]
    wanted: dict[str, list[_Meant]] = {}
    for one in found:
        if not one.is_excluding:
            wanted.setdefault(one.word, []).extend(one.values)
    return Wanted(
        texts,
        _asked(wanted),
        [[meant.test for meant in values] for values in wanted.values()],
        _refusals(found),
    )


def _refusals(found: "Iterable[Condition[_Meant]]") -> list[_Test]:
    return [meant.test for one in found if one.is_excluding for meant in one.values]


def _asked(wanted: "Mapping[str, Sequence[_Meant]]") -> Filter:
    """What there is one value of; the kernel knows no alternatives."""
    one = {word: values[0].number for word, values in wanted.items() if len(values) == 1}
    family = one.get("family")
    return Filter(
        family=None if family is None else Family(family),
        protocol=one.get("protocol"),
        zone=one.get("zone"),
        mark=one.get("mark"),
    )


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a value means: the test, and the number that the kernel may be asked for."""

    test: _Test
    number: int | None = None


def _network(ends: Callable[[Flow], Iterable[End]], value: str) -> _Meant:
    network = conditions.network(value)
    length, shift = len(network.network_address.packed), _BITS[network.version] - network.prefixlen
    first = int.from_bytes(network.network_address.packed) >> shift

    def test(flow: Flow) -> bool:
        return any(len(end.raw) == length and int.from_bytes(end.raw) >> shift == first for end in ends(flow))

    return _Meant(test)


def _port(ends: Callable[[Flow], Iterable[End]], value: str) -> _Meant:
    wanted = conditions.ports(value)

    def test(flow: Flow) -> bool | None:
        if not told.has_ports(flow):
            return None
        return any(end.port in wanted for end in ends(flow))

    return _Meant(test)


def _sources(flow: Flow) -> Iterable[End]:
    return [end for end in (told.source(flow), told.nat_source(flow)) if end is not None]


def _destinations(flow: Flow) -> Iterable[End]:
    return [end for end in (told.destination(flow), told.nat_destination(flow)) if end is not None]


def _protocol(value: str) -> _Meant:
    number = conditions.protocol(value)
    return _Meant(lambda flow: flow.original.protocol == number, number)


def _state(value: str) -> _Meant:
    if not _STATE.fullmatch(value):
        raise ValueError(f"{value} is no state; write it as ESTABLISHED, UNREPLIED, REPLIED or ASSURED")
    name = value.upper()
    return _Meant(lambda flow: name in told.states(flow))


def _zone(value: str) -> _Meant:
    number = conditions.zone(value)
    return _Meant(lambda flow: number in told.zones(flow), number)


def _mark(value: str) -> _Meant:
    number = conditions.mark(value)
    return _Meant(lambda flow: told.mark(flow) == number, number)


def _family(value: str) -> _Meant:
    family = _FAMILIES.get(value.lower())
    if family is None:
        raise ValueError(f"{value} is no version of IP; write it as ipv4 or ipv6")
    length = ipaddress.IPV4LENGTH // 8 if family is Family.IPV4 else ipaddress.IPV6LENGTH // 8
    return _Meant(lambda flow: len(flow.original.source_raw) == length, int(family))


_GRAMMAR: Final[Grammar[_Meant]] = Grammar(
    words={
        "address": partial(_network, told.ends),
        "source": partial(_network, _sources),
        "destination": partial(_network, _destinations),
        "protocol": _protocol,
        "port": partial(_port, told.ends),
        "source_port": partial(_port, _sources),
        "destination_port": partial(_port, _destinations),
        "state": _state,
        "zone": _zone,
        "mark": _mark,
        "family": _family,
    },
    synonyms={"host": "address", "net": "address", "network": "address", "proto": "protocol"},
    example="host=10.1.0.0/16 or proto!=udp",
)
