"""The configuration's shape: what can be set, its defaults and its meaning.

The descriptions are the reference page ``docs/reference/configuration.md``.
"""

import socket
from typing import Annotated, Final, Literal, final

from pydantic import Field

from netledger.config.attribution import Attribution
from netledger.config.meter import Meter
from netledger.config.part import Part
from netledger.config.values import AttributionName, Days, Directory, Interval, Name, Node, Timezone
from netledger.exports.formats import DEFAULT_NAME

GO_NFLOG_ACCTD: Final = "go-nflog-acctd"
"""The name of the format, and of the table of what only it has."""

_STORE = "/var/lib/netledger"


@final
class Retention(Part):
    """How long the store keeps what, `[ledger]`. Receipts are kept for ever."""

    keep_detail_days: Days = Field(
        alias="keep_detail",
        default=None,
        description="How long rows are kept, in whole days as in `90d`; default: for ever. They go when their UTC day "
        "began longer ago, and not before they are in the hourly sums.",
    )
    keep_rollups_days: Days = Field(
        alias="keep_rollups",
        default=None,
        description="How long hourly sums of hosts are kept, at least as long as rows; default: for ever.",
    )


@final
class GoNflogAcctd(Part):
    """What only the format go-nflog-acctd has, `[exports.NAME.go-nflog-acctd]`."""

    account: Literal["source", "destination", "both"] = Field(
        default="both",
        description="Which columns are filled: `source` those of what an address sent, `destination` those of what it "
        "received.",
    )
    timezone: Timezone | None = Field(
        default=None,
        description='Time zone of file names and rows, as in "Europe/Berlin"; default: this machine\'s.',
    )
    strict_bytes: bool = Field(
        default=False, description="Count IPv6 without its 40-byte header, as the old program did."
    )


@final
class Export(Part):
    """Intervals as files for other programs, `[exports.NAME]`, see [exports](exports.md)."""

    format: Literal["csv", "jsonl", "go-nflog-acctd"] = Field(description="The form of the files.")
    directory: Directory = Field(description="Where they are written; it is made when it is not there.")
    meters: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(),
        description="Only intervals of these meters; default: of all. The format `go-nflog-acctd` takes exactly one.",
    )
    go_nflog_acctd: GoNflogAcctd = Field(
        alias=GO_NFLOG_ACCTD, default=GoNflogAcctd(), description="What only this format has."
    )


@final
class Config(Part):
    """The whole file. An empty one is valid."""

    node: Node = Field(
        default_factory=socket.gethostname, description="Name of this machine in rows and receipts; default: host name."
    )
    interval_seconds: Interval = Field(
        alias="interval",
        default=300,
        description="How often books are closed, at UTC multiples: it divides a day, or is a number of whole days.",
    )
    cut_on_assignment: bool = Field(
        default=False,
        description="Whether open intervals end when an address goes to somebody else, so that it is booked to the "
        "second. In a storm of hand-overs once a second; see [attribution](../explanation/attribution.md).",
    )
    store: Directory = Field(default=_STORE, description="Directory of what is durable.")
    runtime: Directory = Field(
        default="/run/netledger", description="Directory of what is being counted; should be in memory (tmpfs)."
    )
    ledger: Retention = Field(default=Retention(), description="How long the store keeps what.")
    meters: dict[Name, Meter] = Field(
        default={"nflog": Meter()}, description="The accountings, by name; default: one named `nflog`."
    )
    exports: dict[Name, Export] = Field(
        default={DEFAULT_NAME: Export(format="csv", directory=f"{_STORE}/exports")},
        description=f"The exports, by name. Without any such table there is one named `{DEFAULT_NAME}`, CSV in "
        "`STORE/exports`; an empty `[exports]` switches it off.",
    )
    attribution: dict[AttributionName, Attribution] = Field(
        default={}, description="Where it is learnt whose an address is, by name; see [attribution](attribution.md)."
    )
