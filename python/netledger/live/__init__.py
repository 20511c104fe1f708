"""Asking a running daemon, over its socket in the runtime directory: what the two sides say to each other.

Read-only: nothing that is asked changes anything. See ``docs/reference/status.md``.
"""

from netledger.live.client import Client
from netledger.live.shape import AttributionStatus, DaemonStatus, LastCommit, LiveTable, MeterStatus, ProblemStatus

__all__ = ["AttributionStatus", "Client", "DaemonStatus", "LastCommit", "LiveTable", "MeterStatus", "ProblemStatus"]
