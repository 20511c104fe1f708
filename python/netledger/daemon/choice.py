"""Which mechanism counts for a meter: what the configuration asks for, and what ``source = "auto"`` comes to here.

The configuration says what was asked; what the kernel and the capabilities allow is found out when a meter is opened.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from netledger.config import Meter
from netledger.config.meter import Mechanism
from netledger.errors import NetledgerError

_log = logging.getLogger(__name__)

Probe: TypeAlias = Callable[[Meter], None]
"""Tries what a meter would need of bpf, and leaves nothing behind. Raises what opening such a meter would."""

BEST: Final = "the kernel itself adds each packet to its row, and none waits for this program"


@final
@dataclass(frozen=True, slots=True)
class Chosen:
    """The mechanism of a meter.

    Attributes:
        mechanism: what counts.
        why: what ``auto`` has been decided by; None where the configuration names the source.
        better: what it would take to be counted by bpf; None where it is, or where the configuration decides.
    """

    mechanism: Mechanism
    why: str | None = None
    better: str | None = None

    def say(self, meter: str) -> None:
        """Logs what ``auto`` came to; nothing where the configuration names the source."""
        if self.why is None:
            return
        fields = {"meter": meter, "source": self.mechanism, "why": self.why}
        if self.better is not None:
            fields["for_bpf"] = self.better
        _log.info("source_chosen", extra={"fields": fields})


def choose(meter: Meter, probe: Probe) -> Chosen:
    """What counts for a meter. Where that is open it asks ``probe``, which blocks for some 100 ms."""
    if meter.source != "auto":
        return Chosen(meter.source)
    if wish := _only_by_rules(meter):
        why, better = wish
        return Chosen("nflog", why, better)
    try:
        probe(meter)
    except NetledgerError as error:
        return Chosen("nflog", f"bpf cannot be used: {error}", error.hint)
    return Chosen("bpf", BEST)


def _only_by_rules(meter: Meter) -> tuple[str, str] | None:
    """Why a meter can only be counted by NFLOG, and how to change that; None where it need not."""
    if meter.nflog.groups:
        return "it has given NFLOG groups", "leave meters.NAME.nflog.groups out"
    if "label" in meter.key:
        return "its key has label, which only a rule of netfilter gives", "leave label out of its key"
    return None
