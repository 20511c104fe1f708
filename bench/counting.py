#!/usr/bin/env python3
"""A meter without a daemon around it, to be watched from outside.

It counts group 4 into a table file. SIGUSR1 lets it go on into a second table (a cut), SIGUSR2 unbinds the group and
drains it (the end of a generation); each prints one line of JSON. SIGTERM ends it, after a last
line if the group is still bound.
"""

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path

from peers import GROUP

from netledger._core import Generation, KeySpec, Meter, NflogGroup

SAMPLE_SECONDS = 0.0002
WATCH_SECONDS = 0.3


class Standstill(threading.Thread):
    """Looks all the time at how many packets came; knows the longest pause between two of them."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(daemon=True)
        self._meter = meter
        self._longest = 0.0
        self._lock = threading.Lock()

    def run(self) -> None:
        before, since = -1, time.monotonic()
        while True:
            packets, now = self._meter.stats().received_packets, time.monotonic()
            if packets != before:  # a pause of this thread is none of the meter's
                before, since = packets, now
            with self._lock:
                self._longest = max(self._longest, now - since)
            time.sleep(SAMPLE_SECONDS)

    def take_ms(self) -> float:
        """The longest pause since the last call."""
        with self._lock:
            longest, self._longest = self._longest, 0.0
        return longest * 1000

    def after_a_while_ms(self) -> float:
        """The longest pause up to a moment from now: what stands still shows when packets come again."""
        time.sleep(WATCH_SECONDS)
        return self.take_ms()


def batch_facts(generation: Generation) -> dict[str, float]:
    """Makes the Arrow batch of a closed generation, and says what that took."""
    started, cpu = time.monotonic(), time.thread_time()
    batch = generation.batch({})
    return {
        "rows": len(batch),
        "packets": generation.totals.received_packets,
        "batch_ms": (time.monotonic() - started) * 1000,
        "batch_cpu_ms": (time.thread_time() - cpu) * 1000,
    }


def cut(meter: Meter, path: Path, watch: Standstill) -> None:
    """A cut under traffic: the same group goes on into another table."""
    watch.take_ms()  # not what was before the traffic began
    before_ms = watch.after_a_while_ms()
    started = time.monotonic()
    generation = meter.roll(str(path))
    cut_ms = (time.monotonic() - started) * 1000
    at_cut_ms = watch.after_a_while_ms()
    facts = batch_facts(generation)
    at_batch_ms = watch.after_a_while_ms()
    facts |= {"cut_ms": cut_ms, "before_ms": before_ms, "at_cut_ms": at_cut_ms, "at_batch_ms": at_batch_ms}
    print(json.dumps(facts), flush=True)
    generation.release()


def end(meter: Meter) -> None:
    """Ends the generation as a meter with rules of its own does at each cut."""
    started = time.monotonic()
    generation = meter.end()
    end_ms = (time.monotonic() - started) * 1000
    print(json.dumps(batch_facts(generation) | {"end_ms": end_ms}), flush=True)
    generation.release()


def main() -> int:
    """Counts until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--columns", default="host")
    parser.add_argument("--rows-max", type=int, default=4_000_000)
    parser.add_argument("--buffer", type=int, default=256 << 20, help="receive buffer in bytes")
    parser.add_argument("--watch", action="store_true", help="look for pauses; costs CPU")
    wanted = parser.parse_args()
    waited_for = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    meter = Meter(
        key=KeySpec(columns=wanted.columns.split(",")),
        rows_max=wanted.rows_max,
        receive_buffer_bytes=wanted.buffer,
        timeout_centiseconds=10,
    )
    meter.begin(str(wanted.directory / "first.table"), [NflogGroup(GROUP, account="source", copy_range_bytes=64)])
    watch = Standstill(meter)
    if wanted.watch:
        watch.start()
    ended = False
    while (number := signal.sigwait(waited_for)) != signal.SIGTERM:
        if number == signal.SIGUSR1:
            cut(meter, wanted.directory / "second.table", watch)
        else:
            end(meter)
            ended = True
    if not ended:
        end(meter)
    meter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
