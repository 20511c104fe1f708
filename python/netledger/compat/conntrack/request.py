"""The command line as a request: what to do with which flows, and how to show them."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from netledger.compat.conntrack.addresses import Address, Endpoint
from netledger.compat.conntrack.commands import Command, Table
from netledger.compat.conntrack.labels import LabelNames
from netledger.compat.conntrack.protocols import Protocol

__all__ = ["Kinds", "Output", "Request", "Warn"]

Warn = Callable[[str], None]
"""Takes a line for standard error, without its end."""


@final
class Output(enum.Flag):
    """How flows are shown."""

    LINE = 0
    XML = enum.auto()
    EXTENDED = enum.auto()
    TIMESTAMP = enum.auto()
    ID = enum.auto()
    KERNEL_TIMESTAMP = enum.auto()
    LABELS = enum.auto()
    SAVE = enum.auto()


@final
class Kinds(enum.Flag):
    """Which events."""

    NONE = 0
    NEW = enum.auto()
    UPDATES = enum.auto()
    DESTROY = enum.auto()
    ALL = NEW | UPDATES | DESTROY


@final
@dataclass(slots=True)
class Request:
    """What the command line asks for. Of an option that is given twice the last one counts.

    Attributes:
        given: the names of the options that were there, as messages have them.
        protocol_given: the same of those of the protocol.
        family: 2, 10, or None for both.
        addresses: by ``src``, ``dst``, ``reply-src``, ``reply-dst``.
        masks: for ``src`` and ``dst``, as many bytes as an address has.
        ports: numbers of the protocol's options by their names.
        state: the state a flow must be in.
        mark: value and mask.
        status: bits that must be set, and bits that must not.
        zones: by ``zone``, ``orig-zone``, ``reply-zone``.
        translated: by ``src-nat``, ``dst-nat``, ``any-nat``; None is any address.
        labels: bits that must be set, as a number.
        label_names: the names of labels, if any option has to do with them.
        strict: whether the bytes are the old ones even where those are wrong.
    """

    command: Command = Command.NONE
    table: Table = Table.CONNTRACK
    given: set[str] = field(default_factory=set)
    protocol_given: set[str] = field(default_factory=set)
    protocol: Protocol | None = None
    family: int | None = None
    addresses: dict[str, Address] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    state: str | None = None
    mark: tuple[int, int] | None = None
    status: tuple[int, int] = (0, 0)
    zones: dict[str, int] = field(default_factory=dict)
    id: int | None = None
    translated: dict[str, Endpoint | None] = field(default_factory=dict)
    labels: int = 0
    label_names: LabelNames | None = None
    output: Output = Output.LINE
    kinds: Kinds = Kinds.NONE
    buffer_bytes: int | None = None
    strict: bool = False

    @property
    def expectations(self) -> bool:
        """Whether it is about the table ``expect``."""
        return self.table is Table.EXPECT
