"""The long-lived process: configuration to parts, intervals, signals, shutdown."""

from netledger.daemon.run import Daemon

__all__ = ["Daemon"]
