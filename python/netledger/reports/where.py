"""Which rows a report is about, in words people use: ``host=10.1.0.0/16``, ``proto=udp``, ``port=443``.

A condition is a word, ``=`` or ``!=``, and values with commas between them. Conditions of the same word with ``=`` are
alternatives; everything else has to hold together. A row that has nothing in a column satisfies no condition on it,
neither ``=`` nor ``!=``.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from netledger.errors import UsageError
from netledger.reports import conditions
from netledger.reports.protocols import ICMP
from netledger.schema import Account

_V4_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Test = Callable[[str], str]
"""Of a value, the SQL that holds for a column named ``{}``."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What can be asked for.

    Attributes:
        columns: where to look; one that fits is enough.
        test: what a value means.
        is_list: commas separate values.
    """

    columns: tuple[str, ...]
    test: _Test
    is_list: bool = True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions, understood.

    Attributes:
        texts: as they were written.
        sql: what holds for the rows asked for; without conditions, ``TRUE``.
        interval_sql: the part of it that is about whole intervals: node and meter.
        columns: the key columns that conditions ask about, in their order.
        is_of_subjects: whether a condition asks whose the rows are.
    """

    texts: tuple[str, ...]
    sql: str
    interval_sql: str
    columns: tuple[str, ...]
    is_of_subjects: bool
    _names: Mapping[str, tuple["_Names", ...]]

    def takes(self, *, node: str, meter: str) -> bool:
        """Whether rows of a meter's interval can be among those asked for."""
        return all(names.takes(value) for word, value in (("node", node), ("meter", meter)) for names in self._of(word))

    @property
    def is_of_rows(self) -> bool:
        """Whether it leaves out rows of the intervals that it takes."""
        return self.sql != self.interval_sql

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that conditions name, to take or to leave out."""
        return tuple(sorted({value for names in self._of("subject") for value in names.values}))

    def _of(self, word: str) -> tuple["_Names", ...]:
        return self._names.get(word, ())


@dataclass(frozen=True, slots=True)
class _Names:
    values: frozenset[str]
    is_excluding: bool

    def takes(self, name: str) -> bool:
        return (name in self.values) is not self.is_excluding


def understand(texts: Iterable[str]) -> Filter:
    """Conditions as people write them.

    Raises:
        UsageError: one of them means nothing.
    """
    texts = tuple(texts)
    wanted: dict[str, list[str]] = {}
    refused: dict[str, list[list[str]]] = {}
    for text in texts:
        word, is_excluding, values = _split(text)
        if is_excluding:
            refused.setdefault(word, []).append(values)
        else:
            wanted.setdefault(word, []).extend(values)
    clauses = {word: [_any_of(word, values)] for word, values in wanted.items()}
    for word, lists in refused.items():
        clauses.setdefault(word, []).extend(_none_of(word, values) for values in lists)
    names: dict[str, tuple[_Names, ...]] = {
        word: (
            *((_Names(frozenset(wanted[word]), is_excluding=False),) if word in wanted else ()),
            *(_Names(frozenset(values), is_excluding=True) for values in refused.get(word, ())),
        )
        for word in (*_INTERVAL_WORDS, "subject")
        if word in clauses
    }
    return Filter(
        texts=texts,
        sql=_joined(clauses),
        interval_sql=_joined({word: found for word, found in clauses.items() if word in _INTERVAL_WORDS}),
        columns=tuple(
            dict.fromkeys(column for word in clauses for column in _WORDS[word].columns if column not in _ALWAYS_THERE)
        ),
        is_of_subjects="subject" in clauses,
        _names=names,
    )


def quoted(text: str) -> str:
    """Text as a constant of SQL."""
    if "\0" in text:
        raise UsageError("--where", "", "a name holds no zero byte")
    return "'" + text.replace("'", "''") + "'"


def _split(text: str) -> tuple[str, bool, list[str]]:
    """The word, whether it excludes, and the values, which stay text: they become SQL column by column."""
    one = _GRAMMAR.understand(text)
    return one.word, one.is_excluding, list(one.values)


def _joined(clauses: Mapping[str, list[str]]) -> str:
    return " AND ".join(clause for found in clauses.values() for clause in found) or "TRUE"


def _any_of(word: str, values: list[str]) -> str:
    tests = [_WORDS[word].test(value).format(column) for column in _WORDS[word].columns for value in values]
    return f"({' OR '.join(tests)})"


def _none_of(word: str, values: list[str]) -> str:
    """None of the columns fits, as far as they are there, and one at least is there."""
    columns = _WORDS[word].columns
    tests = [_WORDS[word].test(value).format(column) for column in columns for value in values]
    # A condition on nothing is neither true nor false in SQL.
    return f"(coalesce({', '.join(columns)}) IS NOT NULL AND {' AND '.join(f'({one}) IS NOT TRUE' for one in tests)})"


def _network(value: str) -> str:
    network = conditions.network(value)
    first, last = _packed(network, 0), _packed(network, -1)
    if first == last:
        return f"{{0}} = {_blob(first)}"
    within = f"{{0}} >= {_blob(first)} AND {{0}} <= {_blob(last)}"
    if isinstance(network, ipaddress.IPv6Network) and network != _V4_MAPPED and network.supernet_of(_V4_MAPPED):
        # IPv4 is stored inside of this IPv6 network, and is no part of it.
        ipv4 = f"{{0}} >= {_blob(_packed(_V4_MAPPED, 0))} AND {{0}} <= {_blob(_packed(_V4_MAPPED, -1))}"
        within = f"{within} AND NOT ({ipv4})"
    return f"({within})"


def _packed(network: _Network, place: int) -> bytes:
    packed = network[place].packed
    return packed if isinstance(network, ipaddress.IPv6Network) else bytes(10) + b"\xff\xff" + packed


def _blob(value: bytes) -> str:
    return "CAST('" + "".join(f"\\x{byte:02X}" for byte in value) + "' AS BLOB)"


def _protocol(value: str) -> str:
    return f"{{0}} = {conditions.protocol(value)}"


def _port(value: str) -> str:
    ports = conditions.ports(value)
    if len(ports) == 1:
        return f"{{0}} = {ports[0]}"
    return f"({{0}} >= {ports[0]} AND {{0}} <= {ports[-1]})"


def _true_port(value: str) -> str:
    # For ICMP these columns hold type and code.
    return f"({_port(value)} AND coalesce(protocol, 0) NOT IN ({', '.join(map(str, ICMP))}))"


def _zone(value: str) -> str:
    return f"{{0}} = {conditions.zone(value)}"


def _mark(value: str) -> str:
    return f"{{0}} = {conditions.mark(value)}"


def _name(value: str) -> str:
    # Braces in a name would be taken for the column's place.
    return f"{{0}} = {quoted(value).replace('{', '{{').replace('}', '}}')}"


def _account(value: str) -> str:
    if value not in set(Account):
        raise ValueError(f"{value} is no account; there are {', '.join(Account)}")
    return _name(value)


_WORDS: Final[Mapping[str, _Word]] = {
    "host": _Word(columns=("host",), test=_network),
    "peer": _Word(columns=("peer",), test=_network),
    "address": _Word(columns=("host", "peer"), test=_network),
    "protocol": _Word(columns=("protocol",), test=_protocol),
    "port": _Word(columns=("host_port", "peer_port"), test=_true_port),
    "host_port": _Word(columns=("host_port",), test=_port),
    "peer_port": _Word(columns=("peer_port",), test=_port),
    "interface": _Word(columns=("interface",), test=_name),
    "label": _Word(columns=("label",), test=_name, is_list=False),
    "zone": _Word(columns=("zone",), test=_zone),
    "mark": _Word(columns=("mark",), test=_mark),
    "account": _Word(columns=("account",), test=_account),
    "subject": _Word(columns=("subject",), test=_name, is_list=False),
    "meter": _Word(columns=("meter",), test=_name),
    "node": _Word(columns=("node",), test=_name),
}
_SYNONYMS: Final = {"proto": "protocol", "iface": "interface", "net": "address", "network": "address"}


def _checked(test: _Test) -> Callable[[str], str]:
    def value_of(value: str) -> str:
        test(value)
        return value

    return value_of


_GRAMMAR: Final = conditions.Grammar(
    words={name: _checked(word.test) for name, word in _WORDS.items()},
    synonyms=_SYNONYMS,
    single=frozenset(name for name, word in _WORDS.items() if not word.is_list),
    example="host=10.1.0.0/16 or proto!=udp",
)
_INTERVAL_WORDS: Final = ("node", "meter")
_ALWAYS_THERE: Final = frozenset(("node", "meter", "account", "subject"))
