#!/usr/bin/env python3
"""A meter of packet sockets without a daemon around it. SIGTERM closes its table; it prints one line of JSON."""

import argparse
import json
import signal
from pathlib import Path

from netledger._core import KeySpec, PacketMeter
from peers import Outcome

__all__ = ["Counted"]


class Counted:
    """The outcome as it is printed."""

    @staticmethod
    def read(output: str) -> Outcome:
        """What the program accounted."""
        answer = json.loads(output)
        return Outcome(answer["packets"], answer["addresses"], f"{answer['dropped']} dropped")


def main() -> None:
    """Counts until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--retire", type=int, default=20)
    wanted = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    key = KeySpec(columns=("host",), local=("10.0.0.0/8",))
    meter = PacketMeter(key=key, rows_max=2_000_000, interfaces=("bench0",), threads=wanted.threads, retire_milliseconds=wanted.retire)
    meter.begin(str(wanted.directory / "table"))
    print("ready", flush=True)
    signal.sigwait([signal.SIGTERM])
    generation = meter.end()
    totals = generation.totals
    # One row is `external`, where all packets went.
    answer = {"packets": totals.posted_sent_packets, "addresses": generation.rows - 1}
    print(json.dumps(answer | {"dropped": totals.dropped_packets}), flush=True)
    meter.close()


if __name__ == "__main__":
    main()
