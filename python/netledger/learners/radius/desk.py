"""Requests as they come in, and what is to be kept and answered. No socket, no disk and no clock."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

from netledger.attribution.facts import Fact
from netledger.errors import FactError
from netledger.learners.radius.clients import Client, Clients
from netledger.learners.radius.moments import arrival
from netledger.learners.radius.packet import Verdict, read
from netledger.learners.radius.request import Attributes, UnreadableError
from netledger.learners.radius.request import read as read_request
from netledger.learners.radius.sessions import FullError, Sessions
from netledger.learners.radius.wire import Letter

REMEMBERED_MAX: Final = 16_384
"""Requests whose answers are kept, for those that are sent again as they were."""

_WORDS: Final = {
    Verdict.MALFORMED: "this is no RADIUS request",
    Verdict.BAD_AUTHENTICATOR: "bad authenticator: its secret is another one",
    Verdict.NOT_ACCOUNTING: "this is no accounting request",
}


@final
@dataclass(slots=True)
class Outcome:
    """What came of some requests.

    Attributes:
        facts: what is to be kept, in this order, before anything is answered.
        answers: what is to be sent then.
        refused: who gets no answer, and why.
        unbooked: who told of a session that nobody can be booked for, and gets an answer.
    """

    facts: list[Fact] = field(default_factory=list)
    answers: list[tuple[Letter, bytes]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    unbooked: list[str] = field(default_factory=list)


@final
class Desk:
    """Takes requests in. When what it gives cannot be kept, it is to be made anew: it believes that it was.

    Args:
        clients: whose requests are taken.
        sessions: what is known.
    """

    def __init__(self, clients: Clients, sessions: Sessions) -> None:
        self._clients = clients
        self._sessions = sessions
        self._answered: OrderedDict[tuple[str, int, bytes], bytes] = OrderedDict()

    def take(self, letters: Sequence[Letter], *, now_ns: int) -> Outcome:
        """Takes some requests in, in the order in which they came.

        Args:
            letters: the requests.
            now_ns: when they came, where the kernel does not say it.
        """
        outcome = Outcome()
        for letter in letters:
            why = self._take_one(letter, outcome, letter.received_ns or now_ns)
            if why is not None:
                outcome.refused.append((letter.address, why))
        return outcome

    def _take_one(self, letter: Letter, outcome: Outcome, received_ns: int) -> str | None:
        """None, or why there is no answer and nothing is said of that yet."""
        client = self._clients.find(letter.address)
        if client is None:
            return "this address is no client"
        # The first twenty bytes are a hash of all of it and the secret: what is the same there is the same packet.
        again = self._answered.get((letter.address, letter.port, letter.data[:20]))
        if again is not None:
            outcome.answers.append((letter, again))
            return None
        datagram = read(letter.data, client.secret)
        if isinstance(datagram, Verdict):
            return _WORDS[datagram]
        if datagram.attributes is not None:
            if not self._is_booked(datagram.attributes, client, letter, outcome, received_ns):
                return None
            self._remember((letter.address, letter.port, datagram.identity), datagram.answer)
        outcome.answers.append((letter, datagram.answer))
        return None

    def _is_booked(
        self, attributes: Attributes, client: Client, letter: Letter, outcome: Outcome, received_ns: int
    ) -> bool:
        """Whether it is; says why not."""
        what = letter.address
        try:
            self._book(attributes, client, letter, outcome, received_ns)
        except UnreadableError as error:
            why = str(error)
        except FactError as error:
            # Refusals are counted by their reason, and what somebody is called is none.
            what, why = f"{letter.address}: {error.subject}", error.cause
        except FullError:
            why = "too many sessions are open"
        else:
            return True
        outcome.refused.append((what, why))
        return False

    def _book(self, attributes: Attributes, client: Client, letter: Letter, outcome: Outcome, received_ns: int) -> None:
        unbooked = self._sessions.unbooked
        request = read_request(attributes, client=client.network, source=letter.address)
        outcome.facts += self._sessions.apply(request, arrival(request, received_ns=received_ns))
        if self._sessions.unbooked > unbooked:
            outcome.unbooked.append(letter.address)

    def _remember(self, identity: tuple[str, int, bytes], answer: bytes) -> None:
        self._answered[identity] = answer
        if len(self._answered) > REMEMBERED_MAX:
            self._answered.popitem(last=False)
