"""When something happened that an access server tells, by our clock where that can be known."""

from dataclasses import dataclass
from typing import Final, final

from netledger.learners.radius.request import SECOND_NS, Request

LIVE_NS: Final = 2 * SECOND_NS
"""What is told this soon happens now: an Event-Timestamp has whole seconds, and the way takes its time."""
AGE_MAX_SECONDS: Final = 86_400
"""Older than this an Event-Timestamp or an Acct-Delay-Time is not believed."""


@final
@dataclass(frozen=True, slots=True)
class Arrival:
    """The time of a request, in UTC nanoseconds.

    Attributes:
        told_ns: when it happened as far as its sender and our clock tell; never later than it arrived.
        moment_ns: at which moment a change is booked: when it arrived, for what happens now.
        is_live: whether it happens now.
    """

    told_ns: int
    moment_ns: int
    is_live: bool


def arrival(request: Request, *, received_ns: int) -> Arrival:
    """The time of a request that was received at ``received_ns``.

    Its Event-Timestamp is believed unless it lies in the future or more than a day back; then the time that it arrived,
    less its Acct-Delay-Time, is taken.
    """
    told_ns = received_ns
    if 0 <= request.delay_seconds <= AGE_MAX_SECONDS:
        told_ns -= request.delay_seconds * SECOND_NS
    if request.event_seconds is not None:
        event_ns = request.event_seconds * SECOND_NS
        if received_ns - AGE_MAX_SECONDS * SECOND_NS <= event_ns <= received_ns + LIVE_NS:
            told_ns = min(event_ns, received_ns)
    is_live = received_ns - told_ns < LIVE_NS
    return Arrival(told_ns, received_ns if is_live else told_ns, is_live)
