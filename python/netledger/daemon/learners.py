"""The learner of an `[attribution.NAME]`, made from the configuration."""

from pathlib import Path

from netledger.config.attribution import Attribution
from netledger.config.attribution.static import Static
from netledger.intervals import Clock
from netledger.learners.base import Learner
from netledger.learners.directory import DirectoryLearner
from netledger.learners.static import StaticLearner


def make_learner(name: str, wanted: Attribution, clock: Clock) -> Learner:
    """The learner of one table; inert until it is run."""
    if isinstance(wanted, Static):
        return StaticLearner(name, Path(wanted.path), clock)
    return DirectoryLearner(name, Path(wanted.path), clock)
