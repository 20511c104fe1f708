"""When something that failed is tried again."""

import time
from dataclasses import dataclass
from typing import Final

PAUSE_FIRST_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 60.0


@dataclass(slots=True)
class Attempt:
    """When something that failed may be tried again.

    Attributes:
        due: by the monotonic clock, in seconds; what has not failed may be tried at any time.
        pause_seconds: how long the next pause is.
    """

    due: float = 0.0
    pause_seconds: float = PAUSE_FIRST_SECONDS

    def failed(self) -> float:
        """How many seconds to wait."""
        pause_seconds = self.pause_seconds
        self.due = time.monotonic() + pause_seconds
        self.pause_seconds = min(2 * pause_seconds, PAUSE_MAX_SECONDS)
        return pause_seconds
