"""What the ledger answers when it is asked as a user would: ``netledger report`` and ``netledger audit``."""

import json
import subprocess
import sys
from dataclasses import dataclass

from tests.kernel.books import Books
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count

TOP = 12
# The interval in which the daemon was killed is lossy, and both say so: done, but not everything is proven.
DOUBTFUL = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A command and what it gave.

    Attributes:
        words: what to type.
        output: what it printed.
        status: its exit code.
    """

    words: str
    output: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All that was asked.

    Attributes:
        shown: what is shown, in this order.
        sent: the bytes and packets of a report over everything, sent.
        received: the same, received.
    """

    shown: tuple[Asked, ...]
    sent: Count
    received: Count

    def problems(self) -> list[str]:
        """Commands that ended otherwise than they should; a wrong sum is found by who compares it."""
        return [
            f"{one.words}: exit code {one.status}\n{one.output}"
            for one in self.shown
            if one.status not in {0, DOUBTFUL}
        ]


def ask(gateway: Gateway, books: Books) -> Answers:
    """Asks the ledger about all intervals of the books.

    Raises:
        RuntimeError: a report in JSON is none.
    """
    period = f"{books.intervals[0].start}..{books.intervals[-1].end}"
    report = _run(gateway, "report", "--period", period, "--top", str(TOP))
    audit = _run(gateway, "audit", "--verify")
    machine = _run(gateway, "report", "--period", period, "--by", "", "--json", errors=False)
    try:
        (row,) = json.loads(machine.output)["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{machine.words}: exit code {machine.status}\n{machine.output}") from error
    return Answers(
        shown=(report, audit),
        sent=Count(row["sent_packets"], row["sent_bytes"]),
        received=Count(row["received_packets"], row["received_bytes"]),
    )


def _run(gateway: Gateway, *arguments: str, errors: bool = True) -> Asked:
    """Runs a command of netledger's; the store is left out of the words, as a machine's configuration names it."""
    done = subprocess.run(
        [sys.executable, "-m", "netledger", *arguments, "--config", str(gateway.file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
    )
    return Asked(" ".join(["netledger", *(word or "''" for word in arguments)]), done.stdout, done.returncode)
