"""From a closed generation to a durable interval: receipt, rows, ledger, release. Then the exports, in their time."""

from netledger.pipeline.commit import Closed, Pipeline
from netledger.pipeline.exporter import ExportState
from netledger.pipeline.exports import Exports
from netledger.pipeline.queue import WAITING_MAX, CommitQueue

__all__ = ["WAITING_MAX", "Closed", "CommitQueue", "ExportState", "Exports", "Pipeline"]
