"""The ledger: which intervals count, with their receipts and rows. Immutable Parquet files and one SQLite database."""

from netledger.ledger.store import Committed, Known, Ledger

__all__ = ["Committed", "Known", "Ledger"]
