"""Names that somebody asks for and nobody has: a slip is told apart from one who had no traffic."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from netledger.attribution.facts import RESERVED
from netledger.ledger.assignments import read_subjects
from netledger.ledger.reader import Reader

_NEAREST: Final = 3
# To compare one with all of a large provider's would take longer than the report.
_COMPARED_MAX: Final = 20_000


@final
@dataclass(frozen=True, slots=True)
class Stranger:
    """A subject that nothing is known of.

    Attributes:
        name: as it was asked for.
        nearest: subjects that are known and called nearly so, the nearest first.
    """

    name: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        return f"subject {self.name}: no such subject is known"

    @property
    def hint(self) -> str:
        """What may have been meant."""
        if self.nearest:
            return f"did you mean {' or '.join(self.nearest)}?"
        return "netledger subjects shows who had traffic, netledger assignments list who has something"


def strangers(reader: Reader, names: Sequence[str], *, as_known_at_ns: int | None = None) -> list[Stranger]:
    """Those of ``names`` that no fact of the ledger speaks of, by what is known now or was known at a time.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    asked = [name for name in names if name not in RESERVED]
    if not asked:
        return []
    known = reader.read(lambda connection: read_subjects(connection, as_known_at_ns=as_known_at_ns))
    return [Stranger(name, nearest(name, known)) for name in asked if name not in known]


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Names that somebody may have meant, the nearest first; case makes no difference to how near one is."""
    folded: dict[str, list[str]] = {}
    for one in known:
        folded.setdefault(one.casefold(), []).append(one)
    wanted = name.casefold()
    same = folded.pop(wanted, [])
    like = [one for one in folded if one[:1] == wanted[:1]] if len(folded) > _COMPARED_MAX else list(folded)
    close = difflib.get_close_matches(wanted, like[:_COMPARED_MAX], n=_NEAREST)
    return tuple([*sorted(same), *(one for key in close for one in sorted(folded[key]))][:_NEAREST])
