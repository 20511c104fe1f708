"""Stores as released versions of the ledger left them, in ``tests/unit/stores``, and what they answered then.

A store is made once, by the last code of its version, and never again:
``python -c 'from tests.unit.released import keep; keep(1)'``. Each later version has to answer the same.
"""

import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.receipt import ZERO, Count, parse_rfc3339
from netledger.reports.periods import Step
from netledger.reports.written import Prefixes, write_json
from netledger.reports.zones import find
from tests.unit.booked import Booked, ask
from tests.unit.memory_source import TestClock
from tests.unit.rows import batch, row
from tests.unit.store import opened

STORES = Path(__file__).parent / "stores"

QUESTIONS: dict[str, dict[str, object]] = {
    "by host": {"period": "2026-11-19..2026-11-21"},
    "by meter and node": {"period": "2026-11-19..2026-11-21", "by": ["node", "meter"]},
    "hours": {"period": "2026-11-20", "per": Step.HOUR, "by": ["meter", "account"]},
    "days of a zone of half hours": {"period": "2026-11-19..2026-11-21", "per": Step.DAY, "zone": "Asia/Kolkata"},
    "some hosts": {"period": "2026-11-19", "where": ["host=10.0.0.2/31"], "by": ["host", "meter"]},
    "ports": {"period": "2026-11-20", "by": ["peer", "protocol", "peer_port"], "where": ["meter=lan"]},
    "what is not told apart": {"period": "2026-11-19", "where": ["port=443"], "by": ["host"]},
    "rows that are gone": {"period": "2026-11-18..2026-11-20", "by": ["account"]},
}


def keep(version: int) -> None:
    """Makes a store by the code of today, and keeps it with its answers."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        _fill(store)
        STORES.mkdir(exist_ok=True)
        with tarfile.open(STORES / f"version_{version}.tar.xz", "w:xz") as tar:
            tar.add(store, "store")
        (STORES / f"version_{version}.json").write_text(json.dumps(answers(store), indent=1) + "\n", encoding="utf-8")


def unpacked(version: int, where: Path) -> Path:
    """A copy of a store, to do anything with."""
    with tarfile.open(STORES / f"version_{version}.tar.xz") as tar:
        tar.extractall(where, filter="data")
    return where / "store"


def answers_of(version: int) -> dict[str, object]:
    """What the store answered when it was made."""
    told: dict[str, object] = json.loads((STORES / f"version_{version}.json").read_text(encoding="utf-8"))
    return told


def answers(store: Path) -> dict[str, object]:
    """What the store says of everything: each question, each receipt and its place in the chain."""
    told: dict[str, object] = {name: _numbers(store, question) for name, question in QUESTIONS.items()}
    told["problems"] = [str(problem) for problem in verify(Reader(store))]
    told["intervals"] = [
        [one.node, one.meter, one.seq, one.start_ns, one.rows, one.receipt, one.digest.hex(), one.chain.hex()]
        for one in Reader(store).snapshot().intervals
    ]
    return told


def _numbers(store: Path, question: dict[str, object]) -> dict[str, object]:
    """What a report counts; its sentences may be put otherwise later."""
    told = json.loads(report(store, **question))
    return {key: told[key] for key in ("period", "balance", "total", "rows_left_out", "rows")}


def report(store: Path, **question: object) -> str:
    """A report as JSON text."""
    text = io.StringIO()
    zone = find(str(question.get("zone", "UTC")))
    write_json(ask(store, **question), Prefixes(), zone, text)  # type: ignore[arg-type]  # options of different types
    return text.getvalue()


def _fill(store: Path) -> None:
    """Three days: one without its rows, one compacted with an interval that came late, one as it was committed."""
    numbers: dict[tuple[str, str], int] = {}

    def commit(now: str, intervals: Sequence[Booked]) -> None:
        with opened(store, clock=TestClock(parse_rfc3339(now))) as ledger:
            for one in intervals:
                seq = numbers[one.node, one.meter] = numbers.get((one.node, one.meter), 0) + 1
                ledger.commit(one.receipt(seq), batch(one.rows), exports=["files"] if seq % 2 else [])

    def housekeeping(now: str) -> None:
        with opened(store, clock=TestClock(parse_rfc3339(now))) as ledger:
            maintain(ledger, keep_days=2)

    commit("2026-11-19T00:00:00Z", [_hour(18, hour) for hour in range(24)])
    commit("2026-11-20T00:00:00Z", [_hour(19, hour) for hour in range(22)])
    housekeeping("2026-11-20T12:00:00Z")
    # A day later the grace of all that does not count any more is over.
    housekeeping("2026-11-21T12:00:00Z")
    commit("2026-11-21T12:30:00Z", [_hour(19, 22)])
    commit("2026-11-21T13:00:00Z", [_interval(number) for number in range(30)])
    commit("2026-11-21T13:00:00Z", [_hour(20, hour, meter="wan") for hour in range(0, 24, 5)])
    commit("2026-11-21T13:00:00Z", [_mirrored(hour) for hour in range(3)])


def _hour(day: int, hour: int, *, meter: str = "lan") -> Booked:
    """An hour of some hosts, one of them of IPv6; every seventh has lost a packet."""
    lines = [row("host", host=f"10.0.0.{1 + (hour + one) % 5}", sent=(50 * one, one)) for one in range(1, 4)]
    lines.append(row("host", host="2001:db8::1", received=(40 + hour, 2)))
    bytes_sent = sum(int(one["sent_bytes"] or 0) for one in lines)
    packets_sent = sum(int(one["sent_packets"] or 0) for one in lines)
    lines.append(row("external", sent=(40 + hour, 2), received=(bytes_sent, packets_sent)))
    lost = Count(1, 77) if hour % 7 == 3 else ZERO  # any day of the seven
    why = "the buffer was full" if lost != ZERO else None
    return Booked(f"2026-11-{day}T{hour:02d}:00:00Z", lines, seconds=3600, meter=meter, lost=lost, why_lost=why)


def _interval(number: int) -> Booked:
    """Five minutes with every column there is; the eighth was interrupted."""
    lines = [
        row(
            "host", host=f"10.0.0.{one}", peer=f"198.51.100.{number % 3}", protocol=6 if one % 2 else 17,
            host_port=40_000 + number, peer_port=443, interface="eth1", label="web", sent=(60, 1), received=(1500, 2),
        )
        for one in range(1, 4)
    ]  # fmt: skip
    lines.append(row("external", sent=(4500, 6), received=(180, 3)))
    lines.append(row("other", sent=(10, 1), received=(10, 1)))
    start = f"2026-11-20T{number // 12:02d}:{number % 12 * 5:02d}:00Z"
    return Booked(start, lines, other=Count(1, 10), interrupted="nobody counted" if number == 8 else None)  # any


def _mirrored(hour: int) -> Booked:
    """Of another node, without a count of the kernel: it sees one direction only."""
    lines = [row("host", host="192.0.2.9", sent=(300, 3)), row("host", host="192.0.2.10", sent=(100, 1))]
    start = f"2026-11-20T{hour:02d}:00:00Z"
    return Booked(start, lines, seconds=3600, node="gw2", meter="mirror", has_kernel=False)
