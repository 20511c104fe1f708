"""From a closed generation to a durable interval: receipt, rows, ledger, exports, release."""

from netledger.pipeline.commit import Closed, Done, Pipeline
from netledger.pipeline.queue import WAITING_MAX, CommitQueue

__all__ = ["WAITING_MAX", "Closed", "CommitQueue", "Done", "Pipeline"]
