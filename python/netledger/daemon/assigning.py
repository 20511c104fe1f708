"""An assignment that somebody asks the daemon for: the open intervals end, and then the fact begins."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, NamedTuple, final

from netledger.attribution.facts import ASSIGN, Fact, Target, given_subject
from netledger.daemon.answers import Answers, Later, refused
from netledger.daemon.cuts import Cuts
from netledger.daemon.plans import Plans
from netledger.daemon.recorder import wait_for_ledger
from netledger.errors import FactError, NetledgerError
from netledger.intervals import Clock
from netledger.ledger.assignments import Assignments
from netledger.live import assigned
from netledger.live.users import name_of
from netledger.receipt import parse_rfc3339
from netledger.reports.assignments import told

_KEYS: Final = frozenset(("do", "target", "subject", "from", "to", "store", "of"))
_WHAT: Final = '{"do": "assign", "target": "10.0.0.2", "subject": "alice"}, and from, to, store, of'

_log = logging.getLogger(__name__)


class _Wish(NamedTuple):
    """What somebody asks for. ``of`` is whose it has to be, for what ends."""

    target: Target
    subject: str | None
    start_ns: int | None
    end_ns: int | None
    of: str | None


@final
class Requests:
    """Answers questions, and does what it is asked to. To be used from one thread.

    Args:
        answers: to what changes nothing.
        store: where facts are kept.
        clock: where the time comes from.
        cuts: who is asked for the moment of a hand-over.
        planned_by: sources beside ``assign`` whose word on times to come is kept to.
    """

    def __init__(
        self, answers: Answers, store: Path, clock: Clock, cuts: Cuts, *, planned_by: Sequence[str] = ()
    ) -> None:
        self._answers = answers
        self._store = store
        self._clock = clock
        self._assignments = Assignments(store, clock)
        self._cuts = cuts
        self._plans = Plans(self._assignments, clock, cuts, sources=(ASSIGN, *planned_by))

    def answer(self, request: bytes) -> bytes | Later:
        """The answer to one line; where something is to be done, who does it and answers then."""
        try:
            asked = json.loads(request)
        except (ValueError, RecursionError):
            return self._answers.answer(request)
        if not isinstance(asked, dict) or "do" not in asked:
            return self._answers.answer(request)
        return self._begun(asked)

    def look(self) -> None:
        """See :meth:`Answers.look`; and looks for hand-overs to come."""
        self._answers.look()
        self._plans.look()

    def plan_by(self, sources: Sequence[str]) -> None:
        """Whose word on times to come is kept to from now on, beside that of ``assign``. For any thread."""
        self._plans.change((ASSIGN, *sources))

    def _begun(self, asked: dict[str, object]) -> bytes | Later:
        texts = {key: value for key, value in asked.items() if isinstance(value, str)}
        others = [key for key, value in asked.items() if key not in texts and value is not None]
        if texts.get("do") != assigned.ASSIGN or others or set(asked) - _KEYS or "target" not in texts:
            return refused("nobody knows what is to be done", _WHAT)
        if "of" in texts and "subject" in texts:
            return refused("nobody knows what is to be done", "of is for what ends")
        if texts.get("store", str(self._store)) != str(self._store):
            return refused("the daemon keeps another store", f"it is {self._store}")
        try:
            target = Target.parse(texts["target"])
            subject = given_subject(texts["subject"]) if "subject" in texts else None
            start_ns, end_ns = (parse_rfc3339(texts[key]) if key in texts else None for key in ("from", "to"))
        except FactError as error:
            return refused(str(error), error.hint)
        except (ValueError, OverflowError) as error:
            return refused(str(error), "times as in 2026-11-20T10:05:00Z")
        wish = _Wish(target, subject, start_ns, end_ns, texts.get("of"))
        return lambda user: self._assigned(wish, user)

    def _assigned(self, wish: _Wish, user: int) -> bytes:
        """Called in a thread of its own."""
        try:
            fact = Fact(
                target=wish.target,
                valid_from_ns=self._clock.now().wall_ns if wish.start_ns is None else wish.start_ns,
                valid_to_ns=wish.end_ns,
                subject=wish.subject,
                source=ASSIGN,
                detail={"by": name_of(user)},
            )
            wait_for_ledger(self._store)
            written = self._written(fact, wish)
        except NetledgerError as error:
            return refused(str(error), error.hint)
        self._plans.look()
        shown = told(written[0] if written else fact)
        fields: dict[str, object] = {
            "target": shown.target,
            "subject": fact.subject or "nobody",
            "from": shown.valid_from,
        }
        fields |= {"by": shown.detail["by"], "is_new": bool(written)}
        _log.info("assigned", extra={"fields": fields})
        return json.dumps({"assigned": asdict(shown)}, ensure_ascii=False).encode() + b"\n"

    def _written(self, fact: Fact, wish: _Wish) -> list[Fact]:
        """The fact as it is kept; none where it changes nothing."""
        book = self._assignments
        if wish.subject is None and not book.is_news(fact, of=wish.of):
            return []  # nothing ends, and so no interval does
        if wish.start_ns is None:
            fact = replace(fact, valid_from_ns=self._cuts.moment())
        return book.add([fact]) if wish.of is None else book.end(fact, of=wish.of)
