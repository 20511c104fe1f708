"""What the demo found: the ledger's rows and, from three places in the kernel, what there was to count."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from demo.asked import Answers
from tests.kernel.books import Books, total
from tests.kernel.lab import Count, Lab

ETHERNET_BYTES = 14


@dataclass(frozen=True, slots=True)
class Chosen:
    """What ``source = "auto"`` came to, as the daemon logs it.

    Attributes:
        name: the source.
        why: why it is this one.
        better: what it would take to be counted by bpf; empty where it is.
    """

    name: str
    why: str
    better: str


def chosen(log: str) -> Chosen:
    """What a log says of it the first time.

    Raises:
        RuntimeError: nothing.
    """
    for line in log.splitlines():
        fields = dict(word.partition("=")[::2] for word in shlex.split(line))
        if fields.get("event") == "source_chosen":
            return Chosen(fields["source"], fields["why"], fields.get("for_bpf", ""))
    raise RuntimeError(f"netledger run did not say what counts:\n{log}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All numbers of a run.

    Attributes:
        source: what counted.
        books: the exported intervals, read back from their files.
        own: the counters of netledger's own rules, where it counts by rules.
        witness: the counters of rules that netledger knows nothing of, at the same hooks.
        wire: what the gateway's interfaces received, by name, with the Ethernet header.
        answers: what the ledger itself answers.
        killed_pid: the process that was killed.
        exit_status: of the daemon, at its clean stop.
        log: what the daemon said.
    """

    source: Chosen
    books: Books
    own: dict[str, Count]
    witness: dict[str, Count]
    wire: dict[str, Count]
    answers: Answers
    killed_pid: int
    exit_status: int
    log: str

    def sums(self) -> Iterator[tuple[str, Count]]:
        """The same traffic, told by eight; all must be equal."""
        yield "exports: all rows, sent", self.books.sent
        yield "exports: all rows, received", self.books.received
        yield "netledger report: sent", self.answers.sent
        yield "netledger report: received", self.answers.received
        yield "receipts: accounted + lost", self.books.accounted + self.books.lost
        if self.own:
            yield "kernel: counters of netledger's rules", total(self.own.values())
        else:
            yield "kernel: totals of netledger's program", self.books.kernel
        yield "kernel: counters of other rules (the witness)", self.witness["total"]
        # The gateway itself sends nothing here, so what it received is what it forwarded.
        frames = total(self.wire.values())
        yield (
            "kernel: ip -s link, without Ethernet headers",
            Count(frames.packets, frames.bytes - ETHERNET_BYTES * frames.packets),
        )

    def problems(self) -> list[str]:
        """Why the books do not balance; empty when they do."""
        truth = self.witness["total"]
        found = self.books.problems()
        found += [f"{teller}: {count}, the witness {truth}" for teller, count in self.sums() if count != truth]
        if truth.packets == 0:
            found.append("there was no traffic: nothing is proven")
        found += self.answers.problems()
        if self.exit_status != 0:
            found.append(f"netledger run ended with status {self.exit_status}")
        return found


def links(lab: Lab, namespace: str) -> dict[str, Count]:
    """What each interface but lo has received, as ``ip -s link`` tells it."""
    found = json.loads(lab.run(namespace, ["ip", "-s", "-j", "link"]))
    received = {link["ifname"]: link["stats64"]["rx"] for link in found if link["ifname"] != "lo"}
    return {name: Count(counts["packets"], counts["bytes"]) for name, counts in received.items()}
