"""The learner of an `[attribution.NAME]`, made from the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from netledger.config.attribution import Attribution
from netledger.config.attribution.directory import Directory
from netledger.config.attribution.leases import Dnsmasq, Isc, Kea
from netledger.config.attribution.neighbours import Neighbours
from netledger.config.attribution.radius import Radius
from netledger.config.attribution.static import Static
from netledger.config.attribution.wireguard import Wireguard
from netledger.intervals import Clock
from netledger.learners.base import Learner
from netledger.learners.directory import DirectoryLearner
from netledger.learners.dnsmasq import DnsmasqBook
from netledger.learners.isc import IscBook
from netledger.learners.kea import ROTATED, KeaBook
from netledger.learners.lease import Book, Called
from netledger.learners.leases import LeasesLearner
from netledger.learners.neighbours import NeighbourLearner
from netledger.learners.radius.learner import RadiusLearner
from netledger.learners.static import StaticLearner
from netledger.learners.wireguard import WireguardLearner

_BOOKS: Final[dict[str, Callable[[Path], Book]]] = {"dnsmasq": DnsmasqBook, "isc": IscBook, "kea": KeaBook}


def make_learner(name: str, wanted: Attribution, clock: Clock, *, runtime: Path) -> Learner:
    """The learner of one table; inert until it is run. In ``runtime`` it may keep what the next process needs."""
    match wanted:
        case Static():
            return StaticLearner(name, Path(wanted.path), clock)
        case Directory():
            return DirectoryLearner(name, Path(wanted.path), clock)
        case Dnsmasq() | Isc() | Kea():
            return _leases(name, wanted, clock)
        case Radius():
            return _radius(name, wanted, clock, runtime)
        case Wireguard():
            return WireguardLearner(
                name,
                interfaces=wanted.interfaces,
                names=wanted.names,
                every_seconds=wanted.every_seconds,
                clock=clock,
            )
        case Neighbours():
            return NeighbourLearner(
                name, interfaces=wanted.interfaces, forget_after_seconds=wanted.forget_after_seconds, clock=clock
            )


def _radius(name: str, wanted: Radius, clock: Clock, runtime: Path) -> RadiusLearner:
    address, _, port = wanted.listen.rpartition(":")
    secrets: list[tuple[str | None, Path]] = [(one.network, Path(one.secret_file)) for one in wanted.clients]
    if wanted.secret_file is not None:
        secrets.append((None, Path(wanted.secret_file)))
    return RadiusLearner(
        name,
        address=address.strip("[]"),
        port=int(port),
        secrets=secrets,
        stale_after_seconds=wanted.stale_after_seconds,
        signs_file=runtime / f"signs-{name}.json",
        clock=clock,
    )


def _leases(name: str, wanted: Dnsmasq | Isc | Kea, clock: Clock) -> Learner:
    # What lies beside the file matters only of Kea, which moves it away.
    beside = ROTATED if wanted.source == "kea" else ()
    return LeasesLearner(
        name, Path(wanted.path), _BOOKS[wanted.source], beside=beside, called=Called(wanted.subject), clock=clock
    )
