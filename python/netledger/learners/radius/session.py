"""One session of a user at an access server, and how it is kept with its facts so that a restart finds it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from netledger.attribution.facts import Fact, Target
from netledger.learners.radius.request import Nas, Request, Usage

Key = tuple[str, str]
"""Client and Acct-Session-Id. Access servers of one client may use the same ids: see :meth:`Nas.is_same`."""

STOP: Final = "stop"
STALE: Final = "stale"
REPLACED: Final = "replaced"
NAS_RESTART: Final = "nas restart"


@final
@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of life of a session: when, and what the access server had counted by then."""

    seen_ns: int
    usage: Usage | None


@final
@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What is known of a session. Times are UTC nanoseconds.

    Attributes:
        subject: whose it is.
        start_ns: when it began.
        seen_ns: its last sign of life.
        claims: what it has, or had when it ended, and since when.
        lost: which of these another session got, and when.
        end_ns: when it ended; 0 while it goes on.
        ended: how.
        usage: what the access server counted, as it was told last.
    """

    nas: Nas
    id: str
    multi: str
    subject: str
    port: str
    calling: str
    start_ns: int
    seen_ns: int
    claims: dict[Target, int] = field(default_factory=dict)
    lost: dict[Target, int] = field(default_factory=dict)
    end_ns: int = 0
    ended: str = ""
    cause: str = ""
    usage: Usage | None = None

    @property
    def key(self) -> Key:
        """Where it is found."""
        return self.nas.client, self.id

    @property
    def bundle(self) -> Key:
        """Where its bundle is found."""
        return self.nas.client, self.multi

    @property
    def name(self) -> str:
        """What it is called where its signs of life are kept: the same after a restart."""
        return "\t".join((self.nas.client, self.nas.name, self.nas.address, self.id))

    @property
    def sign(self) -> Sign:
        """Its last sign of life."""
        return Sign(self.seen_ns, self.usage)

    def is_link_of(self, other: "Session") -> bool:
        """Whether both are links of one bundle, which share their address (RFC 2866, 5.11)."""
        return bool(self.multi) and self.bundle == other.bundle

    def is_of(self, request: Request) -> bool:
        """Whether a Start may be about this session, and not about a later one that got the same id."""
        return not self.calling or not request.calling or request.calling == self.calling

    def claim_end_ns(self, target: Target) -> int:
        """When it gave up, or lost, something that it had; only of a session that has ended."""
        return min(self.end_ns, self.lost.get(target, self.end_ns))

    def detail(self) -> dict[str, str]:
        """What is kept with its facts; only what is known. What was counted is there when it has ended."""
        known = {
            "session": self.id,
            "multi_session": self.multi,
            "client": self.nas.client,
            "nas": self.nas.name,
            "nas_address": self.nas.address,
            "port": self.port,
            "calling": self.calling,
            "ended": self.ended,
            "cause": self.cause,
        }
        if self.end_ns and self.usage is not None:
            known |= self.usage.detail()
        return {name: value for name, value in known.items() if value}


def begun(request: Request, *, subject: str, start_ns: int, seen_ns: int) -> Session:
    """A session as a request tells of it for the first time."""
    return Session(
        nas=request.nas,
        id=request.session,
        multi=request.multi_session,
        subject=subject,
        port=request.port,
        calling=request.calling,
        start_ns=start_ns,
        seen_ns=max(seen_ns, start_ns),
        usage=request.usage,
    )


def resumed(fact: Fact) -> Session | None:
    """The session that an open claim is of; None where the claim has not come from here."""
    detail: Mapping[str, str] = fact.detail
    if fact.subject is None or "session" not in detail or "nas_address" not in detail:
        return None
    return Session(
        nas=Nas(detail.get("client", ""), detail.get("nas", ""), detail["nas_address"]),
        id=detail["session"],
        multi=detail.get("multi_session", ""),
        subject=fact.subject,
        port=detail.get("port", ""),
        calling=detail.get("calling", ""),
        start_ns=fact.valid_from_ns,
        seen_ns=fact.valid_from_ns,
        claims={fact.target: fact.valid_from_ns},
    )
