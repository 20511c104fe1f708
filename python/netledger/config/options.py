"""Options of the command line that the configuration has as keys: refused in the same words."""

from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from netledger.config.values import Interval, Networks
from netledger.errors import UsageError

_INTERVAL: Final[TypeAdapter[int]] = TypeAdapter(Interval)
_NETWORKS: Final[TypeAdapter[tuple[str, ...]]] = TypeAdapter(Networks)


def interval_seconds(option: str, text: str) -> int:
    """The duration that an ``option`` such as ``--interval`` was given.

    Raises:
        UsageError: it is none, too long, or divides no day.
    """
    try:
        return _INTERVAL.validate_python(text)
    except ValidationError as error:
        raise _refusal(option, error) from None


def networks(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The networks that an ``option`` such as ``--local`` was given, each once.

    Raises:
        UsageError: one is no network, has host bits set, or stands twice.
    """
    try:
        return _NETWORKS.validate_python(tuple(texts))
    except ValidationError as error:
        raise _refusal(option, error) from None


def _refusal(option: str, error: ValidationError) -> UsageError:
    # All that these two check is refused by checks of our own, which say cause and hint.
    context = error.errors()[0]["ctx"]
    return UsageError(option, "", str(context["cause"]), context["hint"])
