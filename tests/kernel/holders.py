"""Who had which address, by intervals: what a report by subject has to say, added up in another way."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from netledger.attribution.targets import Target, network_of
from netledger.attribution.timeline import Place, Timeline
from netledger.intervals import SystemClock
from netledger.ledger.assignments import Assignments
from netledger.receipt import parse_rfc3339
from tests.kernel.books import Books
from tests.kernel.lab import Count

HOOK = """#!/bin/sh
# As a dial-in server has it: who logs in is told the address, and traffic may pass when this is done.
set -eu
exec "$NETLEDGER_PYTHON" -m netledger "$@" --config "$NETLEDGER_FILE"
"""


def hook(directory: Path, file: Path) -> list[str]:
    """A shell script that calls netledger, with what stands in front of it."""
    script = directory / "hook"
    script.write_text(HOOK)
    script.chmod(0o755)
    return [
        "env",
        f"NETLEDGER_PYTHON={sys.executable}",
        f"NETLEDGER_FILE={file}",
        f"PATH={os.environ['PATH']}",
        str(script),
    ]


def reported(file: Path) -> dict[str, Count]:
    """What the report says that each subject has sent today and yesterday; without one, by the reason."""
    argv = [sys.executable, "-m", "netledger", "report", "--by", "subject", "--json", "--config", str(file)]
    argv += ["--period", "yesterday..now"]
    # 3: the ledger does not cover the period whole.
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in {0, 3}, done.stderr
    rows = json.loads(done.stdout)["rows"]
    return {
        row["reason"] or row["subject"]: Count(row["sent_packets"], row["sent_bytes"])
        for row in rows
        if row["sent_packets"]
    }


def by_subject(store: Path, books: Books) -> dict[str, Count]:
    """What each subject has sent, of all rows of hosts; without one, by the reason."""
    timeline = Timeline(Assignments(store, SystemClock()).facts())
    sums: dict[str, Count] = defaultdict(lambda: Count(0, 0))
    for interval in books.intervals:
        start_ns, end_ns = parse_rfc3339(interval.start), parse_rfc3339(interval.end)
        for row in interval.rows:
            name = row.account
            if row.account == "host":
                number, _ = network_of(Target.address(row.host))
                holder = timeline.holder(Place(number.to_bytes(16)), start_ns, end_ns)
                name = holder.subject or str(holder.reason)
            sums[name] += row.sent
    return {name: count for name, count in sums.items() if count.packets}
