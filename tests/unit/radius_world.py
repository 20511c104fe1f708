"""Access servers in a test, what they tell, and what comes of it."""

from collections.abc import Mapping

from netledger.attribution.facts import Fact, Target
from netledger.attribution.painting import claims
from netledger.learners.radius.moments import arrival
from netledger.learners.radius.request import read
from netledger.learners.radius.session import Sign
from netledger.learners.radius.sessions import Sessions
from tests.unit.radius import attributes
from tests.unit.rows import SECOND_NS, START_NS

STALE_SECONDS = 3600
A, B, SIX = "10.0.0.2", "10.0.0.3", "2001:db8:1::/64"


class World:
    """Access servers that tell what happens, and all facts that came of it. Times are seconds."""

    def __init__(self, sessions_max: int = 100) -> None:
        self.facts: list[Fact] = []
        self.sessions_max = sessions_max
        self.sessions = Sessions("isp", stale_after_ns=STALE_SECONDS * SECOND_NS, sessions_max=sessions_max)

    def tell(self, at: float, status: int, session: str = "", **named: object) -> int:
        """Takes a request in that arrives ``at``; gives how many facts came of it."""
        named = {"nas": "bras1", **({"session": session} if session else {}), **named}
        request = read(attributes(status=status, **named), client="any", source="192.0.2.1")
        received_ns = START_NS + int(at * SECOND_NS)
        return self.keep(self.sessions.apply(request, arrival(request, received_ns=received_ns)))

    def keep(self, facts: list[Fact]) -> int:
        self.facts += facts
        return len(facts)

    def silence(self, at: float) -> int:
        return self.keep(self.sessions.stale(START_NS + int(at * SECOND_NS)))

    def restart(self, at: float, signs: Mapping[str, Sign] | None = None) -> None:
        """Another process takes over from what the facts say, and from these signs of life."""
        open_claims = [fact for target in self.targets() for _, end, fact in self._claims(target) if end >> 62]
        self.sessions = Sessions("isp", stale_after_ns=STALE_SECONDS * SECOND_NS, sessions_max=self.sessions_max)
        self.sessions.resume(open_claims, signs=signs or {}, now_ns=START_NS + int(at * SECOND_NS))

    def signs(self) -> dict[str, Sign]:
        return {session.name: session.sign for session in self.sessions.open()}

    def targets(self) -> set[Target]:
        return {fact.target for fact in self.facts}

    def held(self, target: str = A) -> list[tuple[str | None, float, float | None]]:
        """Who had it: subject, from, to."""
        return [
            (fact.subject, (start - START_NS) / SECOND_NS, None if end >> 62 else (end - START_NS) / SECOND_NS)
            for start, end, fact in self._claims(Target.address(target))
        ]

    def detail(self, target: str = A) -> Mapping[str, str]:
        """What is kept with the last claim."""
        return list(self._claims(Target.address(target)))[-1][2].detail

    def _claims(self, target: Target) -> list[tuple[int, int, Fact]]:
        return list(claims(fact for fact in self.facts if fact.target == target))
