"""What is counted at all: the filters of the naccttab in their order. Pure."""

from netledger.compat.nacctd.naccttab import Table

__all__ = ["counts_for"]


def counts_for(table: Table, source: int, destination: int, device: str) -> bool:
    """Whether packets between two addresses on an interface count.

    ``iflimit`` and ``hostlimit`` both hold where both are given. ``dontignore`` is an exception to ``ignorenet`` alone.
    """
    if device in table.notdevs or (table.iflimits and device not in table.iflimits):
        return False
    if table.hostlimits and source not in table.hostlimits and destination not in table.hostlimits:
        return False
    if not (source ^ destination) & table.ignoremask:
        return False
    if not any(source in network or destination in network for network in table.ignorenets):
        return True
    return any(source in network or destination in network for network in table.dontignores)
