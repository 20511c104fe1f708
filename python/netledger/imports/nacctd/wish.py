"""How logs are to be understood, and to whom they are booked."""

from dataclasses import dataclass
from typing import Final, final

from netledger.attribution.facts import IMPORT
from netledger.imports.nacctd.fields import Fields
from netledger.imports.nacctd.users import UserNetworks
from netledger.receipt import WITHOUT_BYTES, WITHOUT_PACKETS

NAME: Final = "nacctd"
PERIOD_SECONDS: Final = 3_600
"""What is written within an hour becomes an interval, unless somebody says otherwise."""
DELAY_SECONDS: Final = 360
"""``flush 300`` and ``fdelay 60``, as in the table that comes with net-acct."""
SOURCE: Final = IMPORT
"""Who says that an address was a user's."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogWish:
    """What was asked for.

    Attributes:
        node: the machine that counted.
        meter: what the accounting is called.
        fields: of every line; None is to be found out.
        networks: where users' addresses are.
        period_seconds: how long a period is; None is as before.
        delay_seconds: how long after the traffic its line is written, at most and as long as the traffic has pauses.
    """

    node: str
    meter: str
    fields: Fields | None
    networks: UserNetworks
    period_seconds: int | None
    delay_seconds: int


def meaning(fields: Fields, delay_seconds: int) -> str:
    """What the numbers of a log are, for its receipts."""
    found = [
        "merged super-packets",
        f"the times are those of writing: up to {delay_seconds} s after the traffic, and more after traffic "
        "without a pause",
    ]
    names = set(fields.names)
    found += [WITHOUT_PACKETS] * ("count" not in names) + [WITHOUT_BYTES] * ("bytes" not in names)
    if "src" not in names:
        found.append("sources were not written" + (", so that rows are the destinations'" if "dst" in names else ""))
    return "; ".join(found)
