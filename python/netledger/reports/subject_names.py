"""Names that somebody asks for and nobody has: a slip is told apart from one who had no traffic."""

import difflib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from netledger.attribution.facts import RESERVED
from netledger.ledger.reader import Reader

_NEAREST: Final = 3
# To compare one with all of a large provider's would take longer than the report.
_COMPARED_MAX: Final = 20_000
_ASKED: Final = "SELECT 1 FROM assignments WHERE subject = ?1 AND (?2 IS NULL OR learnt_at <= ?2) LIMIT 1"
_KNOWN: Final = "SELECT DISTINCT subject FROM assignments WHERE subject IS NOT NULL AND (?1 IS NULL OR learnt_at <= ?1)"


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

    def ask(connection: sqlite3.Connection) -> list[Stranger]:
        unknown = [
            name
            for name in names
            if name not in RESERVED and connection.execute(_ASKED, (name, as_known_at_ns)).fetchone() is None
        ]
        known = [str(name) for (name,) in connection.execute(_KNOWN, (as_known_at_ns,))] if unknown else []
        return [Stranger(name, nearest(name, known)) for name in unknown]

    return reader.read(ask) if names else []


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
