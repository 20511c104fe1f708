"""Exports of the real daemon: killed under load, with a disk of their own that is full, changed by HUP."""

import json
import random
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.test_disk_full import fill
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=50, ports=3, count=0, rate=5000)
KILLS = 6


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "netledger-test", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Exports:
    """A gateway whose meter ``lan`` is exported in every form."""

    def __init__(self, lab: Lab, **places: Path) -> None:
        self.gateway = Gateway(lab, lab.gw, interval="1s")
        self.plain = self.gateway.file.read_text()
        self.places = {form: lab.directory / f"export {form}" for form in ("csv", "jsonl", "go")} | places
        self.write()

    def write(self, *without: str) -> None:
        """Writes the configuration, with all but some exports."""
        text = self.plain
        for form, place in self.places.items():
            if form not in without:
                name = {"go": "go-nflog-acctd"}.get(form, form)
                text += f'\n[exports.{form}]\nformat = "{name}"\ndirectory = "{place}"\nmeters = ["lan"]\n'
        self.gateway.write(text)

    def committed(self) -> dict[int, dict[str, object]]:
        """The receipts in the ledger, by number."""
        with sqlite3.connect(f"file:{self.gateway.store / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
            return {seq: json.loads(text) for seq, text in ledger.execute("SELECT seq, receipt FROM intervals")}

    def jsonl(self) -> dict[int, list[dict[str, object]]]:
        """The lines of each file, by the number in its name; the receipt is the last one."""
        files = (self.places["jsonl"] / "lan").glob("*.jsonl")
        return {
            int(path.stem.rpartition("-")[2]): [json.loads(line) for line in path.read_text().splitlines()]
            for path in files
        }

    def csv(self) -> set[int]:
        receipts = (self.places["csv"] / "lan").glob("*.receipt.json")
        return {int(path.name.split(".")[0].rpartition("-")[2]) for path in receipts}

    def go(self) -> int:
        """Bytes that were sent, over all files; each must be whole."""
        total = 0
        for path in self.places["go"].glob("*.csv"):
            head, *lines = path.read_text().splitlines()
            assert head == "Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets"
            total += sum(int(line.split(",")[2]) for line in lines)
        return total

    def check(self) -> None:
        """Each interval of the ledger is there once in each form, with its numbers."""
        committed, lines = self.committed(), self.jsonl()
        assert len(committed) > 3
        assert set(lines) == set(committed) == self.csv()
        sent = 0
        for seq, receipt in committed.items():
            *rows, last = lines[seq]
            assert last == {"type": "receipt", **receipt}
            sums = [sum(int(str(row[side])) for row in rows) for side in ("sent_bytes", "received_bytes")]
            assert sums == [receipt["kernel_bytes"]] * 2
            sent += sum(int(str(row["sent_bytes"])) for row in rows if row["account"] != "external")
        assert len(list(self.places["go"].glob("*.csv"))) == len(committed)
        assert self.go() == sent
        left = [path for place in self.places.values() for path in place.rglob("*.tmp")]
        assert left == []


def test_each_form_has_each_interval_once_after_kills_under_load(lab: Lab) -> None:
    exports = Exports(lab)
    gateway = exports.gateway
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    chance, pause = random.Random(11), threading.Event()  # noqa: S311  (moments, not secrets)
    for _ in range(KILLS):
        before = len(exports.committed())
        wait_for(lambda before=before: len(exports.committed()) > before, 20, "commit")  # type: ignore[misc]  # bound
        pause.wait(chance.uniform(0.0, 0.05))
        gateway.child.kill()
        gateway.start_counting()
    senders.stop_udp(sender)
    assert gateway.stop() == 0
    exports.check()


def test_a_full_disk_of_one_export_holds_up_nothing_and_is_caught_up(small_disk: Path, lab: Lab) -> None:
    exports = Exports(lab, jsonl=small_disk / "jsonl")
    gateway = exports.gateway
    ballast = fill(small_disk)
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_log("event=export_failed export=jsonl")
    wait_for(lambda: len(exports.csv()) >= 4, 20, "intervals in the other form")
    assert exports.jsonl() == {}
    assert "event=commit_failed" not in gateway.log()
    ballast.unlink()
    wait_for(lambda: len(exports.jsonl()) > 0, 30, "room")
    senders.stop_udp(sender)
    assert gateway.stop() == 0
    assert "event=export_resumed export=jsonl" in gateway.log()
    exports.check()


def test_hup_takes_exports_away_and_brings_them_back_without_a_gap_in_the_others(lab: Lab) -> None:
    exports = Exports(lab)
    gateway = exports.gateway
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    wait_for(lambda: len(exports.csv()) >= 2, 20, "intervals")
    for without in (["jsonl"], []):
        exports.write(*without)
        reloads = gateway.log().count("event=reloaded")
        gateway.child.signal(signal.SIGHUP)
        wait_for(lambda before=reloads: gateway.log().count("event=reloaded") > before, 20, "reload")  # type: ignore[misc]  # bound
        before = len(exports.csv())
        wait_for(lambda before=before: len(exports.csv()) >= before + 3, 20, "intervals")  # type: ignore[misc]  # bound
    senders.stop_udp(sender)
    assert gateway.stop() == 0
    committed = set(exports.committed())
    assert exports.csv() == committed
    assert len(list(exports.places["go"].glob("*.csv"))) == len(committed)
    found = set(exports.jsonl())
    assert found < committed
    assert {min(committed), max(committed)} <= found
    assert len(committed - found) >= 2
