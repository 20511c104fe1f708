"""An export as it is wished for, and the form that fulfils it."""

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from netledger.exports.directory import CsvFiles, JsonLines
from netledger.exports.format import Format, Side
from netledger.exports.go_nflog_acctd import PeriodFiles

FormatName: TypeAlias = Literal["csv", "jsonl", "go-nflog-acctd"]

DEFAULT_NAME: Final = "files"
"""The export that there is when none is configured: CSV below the store."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One export.

    Attributes:
        name: what it is known by, in the ledger too.
        format: the form of its files.
        directory: where they are.
        meters: whose intervals; empty means those of all.
        side: of go-nflog-acctd: whose bytes and packets are told.
        zone: of go-nflog-acctd: of names and times; None is the machine's own.
        strict_bytes: of go-nflog-acctd: count IPv6 without its 40-byte header.
    """

    name: str
    format: FormatName
    directory: Path
    meters: tuple[str, ...] = ()
    side: Side = "both"
    zone: tzinfo | None = None
    strict_bytes: bool = False

    def wants(self, meter: str) -> bool:
        """Whether intervals of a meter belong to it."""
        return not self.meters or meter in self.meters

    def writer(self) -> Format:
        """What writes its files. Touches nothing yet."""
        match self.format:
            case "csv":
                return CsvFiles(self.directory)
            case "jsonl":
                return JsonLines(self.directory)
            case "go-nflog-acctd":
                return PeriodFiles(self.directory, side=self.side, zone=self.zone, strict_bytes=self.strict_bytes)
