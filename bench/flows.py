#!/usr/bin/env python3
"""A meter of flows without a daemon around it, to be watched from outside.

With ``--dumps N`` it asks for all flows so many times, then cuts, and prints one line of JSON for each. Otherwise it
listens until SIGTERM, and says with a last cut what it booked.
"""

import argparse
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from netledger._core import ConntrackMeter, FlowsCut, KeySpec

FLOWS = 4_000_000


def _kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _meter(directory: Path, columns: str, buffer_bytes: int) -> ConntrackMeter:
    key = KeySpec(columns=columns.split(","))
    path = str(directory / "flows")
    return ConntrackMeter(path=path, key=key, rows_max=FLOWS, buffer_bytes=buffer_bytes, flows_max=FLOWS)


def _measured(what: str, work: Callable[[], int]) -> None:
    started, cpu = time.monotonic(), time.process_time_ns()
    flows = work()
    facts = {"what": what, "flows": flows, "cpu_ns": time.process_time_ns() - cpu}
    print(json.dumps(facts | {"wall_ms": (time.monotonic() - started) * 1000}), flush=True)


def _booked(cut: FlowsCut) -> dict[str, int]:
    totals = cut.generation.totals
    numbers = {"packets": totals.received_packets, "bytes": totals.received_bytes, "rows": cut.generation.rows}
    return numbers | {"events": cut.events, "overruns": cut.overruns, "vanished": cut.vanished, "new": cut.new_flows}


def _dump(directory: Path, meter: ConntrackMeter, dumps: int) -> None:
    before = _kib("VmRSS")

    def refreshed() -> int:
        meter.refresh()
        return meter.glance().rows

    _measured("first", lambda: meter.open().flows)
    resident, peak = _kib("VmRSS") - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    on_disk = (directory / "flows").stat().st_blocks * 512
    print(json.dumps({"what": "memory", "resident": resident * 1024, "peak": peak * 1024, "file": on_disk}), flush=True)
    for _ in range(dumps):
        _measured("dump", refreshed)
    _measured("cut", lambda: meter.cut(str(directory / "cut"), seq=1).flows)


def main() -> int:
    """Runs until it is told to end; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="for the flow table and what was cut")
    parser.add_argument("--columns", default="host", help="the key, separated by commas (host)")
    parser.add_argument("--buffer-bytes", type=int, default=256 << 20, metavar="N", help="receive buffer (268435456)")
    parser.add_argument("--dumps", type=int, default=0, metavar="N", help="ask so many times, and end")
    wanted = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a thread that is made now inherits it
    meter = _meter(wanted.directory, wanted.columns, wanted.buffer_bytes)
    if wanted.dumps:
        _dump(wanted.directory, meter, wanted.dumps)
    else:
        meter.open()
        print("ready", file=sys.stderr, flush=True)
        signal.sigwait({signal.SIGTERM})
        print(json.dumps(_booked(meter.cut(str(wanted.directory / "cut"), seq=1))), flush=True)
    meter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
