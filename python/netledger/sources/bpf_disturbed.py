"""What somebody else did to a meter that counts in the kernel, as its facts have it. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from netledger.receipt import rfc3339
from netledger.sources.base import Unpinned
from netledger.sources.observing import between
from netledger.sources.state import Facts

Mended: TypeAlias = Sequence[tuple[str, bool]]
"""What was wrong and has been put in order, in words; and whether packets passed uncounted meanwhile."""

_WORDS_MAX: Final = 4_000
_MORE: Final = "and more often after that, see the log"


def words(mended: Mended) -> str:
    """All of it in one line."""
    return ", ".join(what for what, _ in mended)


def mark(facts: Facts, mended: Mended, *, since_ns: int, until_ns: int) -> Facts:
    """The same generation with what was found at ``until_ns``, and was not there at ``since_ns``.

    What stopped nothing, such as a pin that was removed while the process held what it stands for, is only told.
    """
    when = between(min(since_ns, until_ns), until_ns)
    missed = [what for what, is_missed in mended if is_missed]
    harmless = [what for what, is_missed in mended if not is_missed]
    if missed:
        facts = interrupt(facts, f"{when} packets may have passed uncounted: {', '.join(missed)}")
    if harmless:
        text = f"{', '.join(harmless)} before {rfc3339(until_ns)}, and put in order; nothing was missed by that"
        facts = replace(facts, said=joined(facts.said, text))
    return facts


def told_unpinned(facts: Facts, unpinned: Unpinned | None, at_ns: int) -> Facts:
    """The same generation with what was found then: nothing can be pinned any more, or everything is again."""
    text = f"all was pinned again before {rfc3339(at_ns)}"
    if unpinned is not None:
        text = f"nothing could be pinned at {rfc3339(at_ns)}, and nothing was missed by that: {unpinned.why}"
    return replace(facts, said=joined(facts.said, text))


def interrupt(facts: Facts, what: str) -> Facts:
    """The same generation with something that kept packets from being counted."""
    return replace(facts, interrupted=joined(facts.interrupted, what))


def joined(before: str | None, text: str) -> str:
    """One more remark, within bounds: somebody may do it every second of a long interval."""
    if before is None:
        return text
    if len(before) <= _WORDS_MAX:
        return f"{before}; {text}"
    return before if before.endswith(_MORE) else f"{before}; {_MORE}"
