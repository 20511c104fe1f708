"""What is known of the intervals of a meter that are committed: numbers must not repeat, nor times overlap."""

import logging
from pathlib import Path

from netledger.config import Config
from netledger.errors import ExportError, LedgerError, NetledgerError
from netledger.exports.directory import CsvFiles
from netledger.ledger.reader import Reader
from netledger.sources.base import Past

_log = logging.getLogger(__name__)


def past_of(name: str, config: Config) -> Past:
    """Of one meter, by the ledger and by what was exported. Blocks for the disk.

    Raises:
        LedgerError: the ledger may not be read.
    """
    known = [_committed(name, config), _exported(name, config)]
    ends = [past.end_ns for past in known if past.end_ns is not None]
    return Past(seq=max(past.seq for past in known), end_ns=max(ends, default=None))


def _exported(name: str, config: Config) -> Past:
    exported = CsvFiles(Path(config.store) / "exports")
    try:
        newest = exported.newest(name, node=config.node)
    except ExportError as error:
        # Only a stepped clock or a lost state makes its end matter; not to count would be worse.
        _log_error("last_interval_unknown", name, error)
        return Past(seq=exported.newest_seq(name))
    return Past() if newest is None else Past(seq=newest.seq, end_ns=newest.end_ns)


def _committed(name: str, config: Config) -> Past:
    """What the ledger knows; it has what was not exported yet."""
    reader = Reader(Path(config.store))
    try:
        newest = reader.newest(node=config.node, meter=name) if reader.version() else None
    except LedgerError as error:
        if isinstance(error.__cause__, PermissionError):
            # Numbers would begin anew, and who mends it soon would have two intervals of each.
            raise
        # Should a number be used twice for this the ledger refuses it, and keeps both.
        _log_error("ledger_unknown", name, error)
        return Past()
    return Past() if newest is None else Past(seq=newest.seq, end_ns=newest.end_ns)


def _log_error(event: str, name: str, error: NetledgerError) -> None:
    fields: dict[str, object] = {"meter": name, "error": error}
    if error.hint is not None:
        fields["hint"] = error.hint
    _log.error(event, extra={"fields": fields})
