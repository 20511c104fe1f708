"""Quotas on real objects of the kernel: a namespace, a store, a clock that the test sets, and packets to ourselves."""

import json
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from netledger.daemon.quotas import COMMANDS_DIRECTORY
from netledger.durable import Step, no_step
from netledger.intervals import DAY_NS
from netledger.ledger.quota_facts import Fact, QuotaFacts
from netledger.quotas.agree import agree
from netledger.quotas.book import Book
from netledger.quotas.commands import Commands
from netledger.quotas.definition import Definition, Kind, Unit
from netledger.quotas.keeper import Keeper
from netledger.quotas.objects import Objects
from netledger.quotas.state import State, What
from netledger.receipt import Count, parse_rfc3339
from tests.kernel.lab import Network
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

PORT = 9001
PAYLOAD_BYTES = 72
PACKET_BYTES = PAYLOAD_BYTES + 28
NOON_NS = parse_rfc3339("2026-11-20T12:00:00Z")


class Space(Network):
    """One namespace, in which the calling thread is to be, and one store. Packets of 100 bytes go to ourselves."""

    def _wire(self) -> None:
        self.here = self.namespace("here")
        self.store = self.directory / "store"
        self.runtime = self.directory / "run"
        self.runtime.mkdir()
        self.clock = TestClock(NOON_NS)
        with opened(self.store, clock=self.clock):
            pass

    def book(self, at_step: Step = no_step) -> Book:
        return Book(self.store, "gw1", self.clock, at_step=at_step)

    def keeper(self, at_step: Step = no_step) -> Keeper:
        """As a process that has just started: it knows only what the ledger and the kernel know."""
        return Keeper(self.book(at_step), Objects(), self.clock)

    def commands(self, book: Book) -> Commands:
        return Commands(book, self.runtime / COMMANDS_DIRECTORY, self.clock, node="gw1")

    def agree(self, one: Definition) -> None:
        """A quota with its object, and a rule that refuses what is beyond it."""
        agree(self.book(), Objects(), self.clock, one)
        self.load(one)

    def load(self, one: Definition) -> None:
        """The rule alone."""
        if one.kind is Kind.NFACCT:
            match = ["-p", "udp", "--dport", str(PORT), "-m", "nfacct", "--nfacct-name", one.name, "-j", "DROP"]
            self.run(self.here, ["iptables", "-w", "-A", "OUTPUT", *match])
            return
        chain = f"chain limits {{ type filter hook output priority 0; udp dport {PORT} quota name {one.name} drop; }}"
        # As an operator's file would have it: with the object, for it may be loaded first.
        made = f"quota {one.name} {{ over {one.limit} bytes; }}"
        self.nft(self.here, f"table inet netledger_quotas {{ {made}\n{chain}\n}}")

    def unload(self, one: Definition) -> None:
        """Takes the rule out; with nft all that is loaded, as `flush ruleset` in a file does."""
        command = ["iptables", "-w", "-F", "OUTPUT"] if one.kind is Kind.NFACCT else ["nft", "flush", "ruleset"]
        self.run(self.here, command)

    def send(self, packets: int) -> int:
        """Sends from the calling thread; says how many the rules let go."""
        passed = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(packets):
                try:
                    sender.sendto(bytes(PAYLOAD_BYTES), ("127.0.0.1", PORT))
                    passed += 1
                except PermissionError:  # what a rule drops at output is told to the sender
                    continue
        return passed

    def state(self, name: str) -> State:
        book = self.book()
        book.refresh()
        return book.states[name]

    def used(self, one: Definition) -> Count:
        """What is used now, by the ledger and the kernel."""
        seen = Objects().seen(one)
        assert seen is not None
        return self.state(one.name).used(seen.count)

    def facts(self, *kinds: What) -> list[Fact]:
        found = QuotaFacts(self.store, "gw1").since().facts
        return [fact for fact in found if not kinds or fact.kind in kinds]

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.facts()]

    def tomorrow(self) -> None:
        self.clock.advance(DAY_NS)

    def child_dying(self, code: str, step: str) -> int:
        """Runs a Python text that ends itself by SIGKILL at that step; its exit status."""
        return self.spawn(self.here, [sys.executable, "-c", code, step]).wait()


def packets(limit: int, **more: object) -> Definition:
    """A quota of so many packets."""
    return Definition(name="limited", limit=limit, unit=Unit.PACKETS, **more)  # type: ignore[arg-type]  # as it has them


def octets(limit: int, kind: Kind = Kind.NFT, **more: object) -> Definition:
    """A quota of so many bytes."""
    return Definition(name="limited", limit=limit, unit=Unit.BYTES, kind=kind, **more)  # type: ignore[arg-type]  # as above


def told(facts: Iterable[Fact], key: str) -> list[object]:
    """One of the things that facts tell."""
    return [fact.told.get(key) for fact in facts]


def script(path: Path, text: str) -> Path:
    """A program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def listed(space: Network, namespace: str, config: Path, name: str) -> dict[str, object]:
    """What ``netledger quota list --json`` says of one quota."""
    argv = [sys.executable, "-m", "netledger", "quota", "list", name, "--json", "--config", str(config)]
    (found,) = json.loads(space.run(namespace, argv))
    assert isinstance(found, dict)
    return found
