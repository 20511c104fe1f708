"""Who there is: totals by subject, and what each of them has now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from netledger.attribution.targets import Target
from netledger.attribution.timeline import Timeline
from netledger.ledger.assignments import read_facts
from netledger.ledger.reader import Reader
from netledger.reports.totals import Answer, Totals, Value

TARGETS: Final = "targets"
"""The column with what a subject has, texts with a space between them."""


def targets_at(reader: Reader, moment_ns: int, *, as_known_at_ns: int | None = None) -> dict[str, list[Target]]:
    """What each subject has at a moment, by what is known now or was known at another.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    facts = reader.read(lambda connection: read_facts(connection, reader.store, as_known_at_ns=as_known_at_ns))
    return Timeline(facts).targets(moment_ns)


def with_targets(answer: Answer, held: Mapping[str, Sequence[Target]]) -> Answer:
    """Totals by subject with what each of them has, and behind them who has something and no traffic, by name.

    The latter only where all totals are shown.
    """
    totals = answer.totals
    seen = {name for name in totals.columns["subject"] if isinstance(name, str)}
    silent = [] if totals.left_out else sorted(held.keys() - seen)
    columns: dict[str, Sequence[Value]] = {
        name: [*totals.columns[name], *_of_silent(name, silent, totals)] for name in totals.names
    }
    texts = [_text(held.get(str(name), ())) for name in columns["subject"]]
    changed = replace(totals, names=(*totals.names, TARGETS), columns={**columns, TARGETS: texts})
    return replace(answer, totals=changed)


def _of_silent(name: str, silent: Sequence[str], totals: Totals) -> Iterable[Value]:
    if name == "subject":
        return silent
    return [0 if name in totals.total else None] * len(silent)


def _text(targets: Iterable[Target]) -> str:
    return " ".join(str(one) for one in sorted(targets))
