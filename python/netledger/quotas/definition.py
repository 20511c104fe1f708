"""What a quota is: how much of what, for how long, counted by which object of the kernel, and what happens then."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Final, final

from netledger.errors import UsageError
from netledger.ledger.quota_facts import Told
from netledger.reports import zones
from netledger.reports.periods import Calendar, Period

TABLE: Final = "netledger_quotas"
"""The nft table (family inet) for quota objects, where no other is named."""
LIMIT_MAX: Final = 2**63 - 1
"""What nft takes; nfacct would take twice as much."""
COMMAND_SECONDS: Final = 60
COMMAND_SECONDS_MAX: Final = 3600

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,30}")
_LIMIT: Final = re.compile(
    r"(?P<whole>[0-9]{1,19})(?:\.(?P<rest>[0-9]{1,18}))? ?(?P<prefix>[kKMGTPE]?)(?P<unit>i?B| ?packets?)"
)
_THOUSAND, _KIBI = 1000, 1024
_PREFIXES: Final = "KMGTPE"
_LIMIT_FORMS: Final = "as in 10GB (1000s), 500MiB (1024s), 1500000B or '1M packets'"
_ARGUMENTS_MAX: Final = 64
_ARGUMENT_BYTES_MAX: Final = 4096


class Kind(StrEnum):
    """Which object of the kernel counts."""

    NFACCT = "nfacct"
    """An object of nfnetlink_acct, for iptables' ``-m nfacct``."""
    NFT = "nft"
    """A quota object of nftables; counts bytes only."""


class Unit(StrEnum):
    """What is counted."""

    BYTES = "bytes"
    PACKETS = "packets"


class Every(StrEnum):
    """When a quota begins anew."""

    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Verdict(StrEnum):
    """What the printed rules do with packets beyond the limit."""

    DROP = "drop"
    REJECT = "reject"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A quota as it was agreed.

    Attributes:
        name: also that of the kernel's object.
        limit: so much; the packet that comes to it, or beyond, reaches the quota.
        unit: of the limit.
        kind: what counts.
        every: when it begins anew.
        billing_day: on which day months begin, 1 to 31.
        timezone: whose days; its name.
        command: program and arguments to be run when it is reached; empty for none.
        is_run_at_reset: whether the command is run at each reset too.
        command_seconds: how long it may take.
        verdict: of the printed rules, or None for rules that only count.
        addresses: whose traffic the printed rules count; empty for all.
        family: of the nft table.
        table: the nft table that holds the object.
    """

    name: str
    limit: int
    unit: Unit
    kind: Kind = Kind.NFACCT
    every: Every = Every.ONCE
    billing_day: int = 1
    timezone: str = "UTC"
    command: tuple[str, ...] = ()
    is_run_at_reset: bool = False
    command_seconds: int = COMMAND_SECONDS
    verdict: Verdict | None = None
    addresses: tuple[str, ...] = ()
    family: str = "inet"
    table: str = TABLE

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not 1 <= self.limit <= LIMIT_MAX:
            raise UsageError(f"limit {self.limit}", "", "out of range", f"1 to {LIMIT_MAX}")
        if self.kind is Kind.NFT and self.unit is Unit.PACKETS:
            raise UsageError("--kind nft", "", "it counts bytes, not packets", "leave it out: nfacct counts both")
        if self.every is not Every.MONTH and self.billing_day != 1:
            raise UsageError(f"--billing-day {self.billing_day}", "", "only with --every month")
        if not 1 <= self.command_seconds <= COMMAND_SECONDS_MAX:
            hint = f"1 to {COMMAND_SECONDS_MAX}"
            raise UsageError(f"--command-seconds {self.command_seconds}", "", "out of range", hint)
        _check_command(self.command)
        for address in self.addresses:
            _check_address(address)
        self.period(0)

    def period(self, now_ns: int) -> Period | None:
        """The period that holds this moment; None for a quota that never begins anew.

        Raises:
            UsageError: there is no such time zone or billing day any more.
        """
        if self.every is Every.ONCE:
            return None
        calendar = Calendar(zone=zones.find(self.timezone), billing_day=self.billing_day)
        word = "today" if self.every is Every.DAY else f"this-{self.every}"
        return calendar.period(word, now_ns=now_ns)

    def told(self) -> Told:
        """As it stands in the ledger."""
        return {
            "limit": self.limit,
            "unit": str(self.unit),
            "kind": str(self.kind),
            "every": str(self.every),
            "billing_day": self.billing_day,
            "timezone": self.timezone,
            "command": list(self.command),
            "is_run_at_reset": self.is_run_at_reset,
            "command_seconds": self.command_seconds,
            "verdict": None if self.verdict is None else str(self.verdict),
            "addresses": list(self.addresses),
            "family": self.family,
            "table": self.table,
        }


def parse_limit(text: str) -> tuple[int, Unit]:
    """A limit as people write it: ``10GB``, ``500MiB``, ``1M packets``; a fraction is taken down to whole ones.

    Raises:
        UsageError: it is none.
    """
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"LIMIT {text}", "", "not an amount with its unit", _LIMIT_FORMS)
    unit = Unit.PACKETS if found["unit"].strip().startswith("packet") else Unit.BYTES
    if found["unit"] == "iB" and not found["prefix"]:
        raise UsageError(f"LIMIT {text}", "", "not an amount with its unit", _LIMIT_FORMS)
    power = _PREFIXES.index(found["prefix"].upper()) + 1 if found["prefix"] else 0
    size = (_KIBI if found["unit"] == "iB" else _THOUSAND) ** power
    rest = found["rest"] or ""
    limit = (int(found["whole"] + rest) * size) // 10 ** len(rest)
    if not 1 <= limit <= LIMIT_MAX:
        raise UsageError(f"LIMIT {text}", "", "out of range", f"1 to {LIMIT_MAX}")
    return limit, unit


def from_told(name: str, told: Told) -> Definition:
    """What :meth:`Definition.told` wrote.

    Raises:
        ValueError, KeyError, TypeError, UsageError: it is of another form.
    """
    verdict = told["verdict"]
    return Definition(
        name=name,
        limit=_number(told["limit"]),
        unit=Unit(str(told["unit"])),
        kind=Kind(str(told["kind"])),
        every=Every(str(told["every"])),
        billing_day=_number(told["billing_day"]),
        timezone=str(told["timezone"]),
        command=_texts(told["command"]),
        is_run_at_reset=bool(told["is_run_at_reset"]),
        command_seconds=_number(told["command_seconds"]),
        verdict=None if verdict is None else Verdict(str(verdict)),
        addresses=_texts(told["addresses"]),
        family=str(told["family"]),
        table=str(told["table"]),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(str(one) for one in value)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        hint = "1 to 31 letters, digits and _ . -, a letter first: nfacct, nft and iptables all take it"
        raise UsageError(f"NAME {name}", "", "no name of a quota", hint)


def _check_command(command: tuple[str, ...]) -> None:
    if not command:
        return
    if not PurePosixPath(command[0]).is_absolute():
        hint = "write its whole path: nothing is looked up, and no shell is asked"
        raise UsageError(f"command {command[0]}", "", "no absolute path", hint)
    if len(command) > _ARGUMENTS_MAX or any(
        len(one.encode(errors="surrogateescape")) > _ARGUMENT_BYTES_MAX for one in command
    ):
        hint = f"at most {_ARGUMENTS_MAX} words of {_ARGUMENT_BYTES_MAX} bytes; put more into a script"
        raise UsageError(f"command {command[0]}", "", "too long", hint)
    if any("\0" in one or not _is_utf8(one) for one in command):
        raise UsageError(f"command {command[0]}", "", "an argument is no UTF-8, or has a NUL in it")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_address(text: str) -> None:
    try:
        if "/" in text:
            ip_network(text)
        else:
            ip_address(text)
    except ValueError as error:
        raise UsageError(
            f"--address {text}", "", "no address or network", "as in 192.0.2.7 or 2001:db8::/64"
        ) from error
