"""The same packets into several namespaces in turn, so that all mechanisms meet the same moments of a busy machine."""

import json
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness import ADDRESS, BIN, Bench, BenchError, Traffic, run

__all__ = ["SLICE", "Added", "beside", "rotate"]

SLICE = 1 << 16  # packets here before it is the next one's turn: some 40 ms
SECONDS_MAX = 300
START_SECONDS = 0.7  # a generator needs a moment until it sends


def rotate(benches: Sequence[Bench], *, packets: int, addresses: int, slice_packets: int = SLICE) -> list[Traffic]:
    """Injects ``packets`` into each of them; what each took, in their order. As fast as the kernel takes them.

    Raises:
        BenchError: they did not all arrive.
    """
    namespaces = ",".join(f"/run/netns/{bench.namespace}" for bench in benches)
    what = {"-i": "bench0", "-t": ADDRESS, "-n": packets, "-k": addresses, "-s": SECONDS_MAX}
    what |= {"-c": benches[0].cpus.generator, "-N": namespaces, "-w": slice_packets}
    options = [str(part) for option in what.items() for part in option]
    answer = run("nice", "-n", "-10", BIN / "generator", *options, timeout_seconds=SECONDS_MAX + 60)
    return [Traffic(**json.loads(line)) for line in answer.splitlines()]


@dataclass(slots=True)
class Added:
    """What a mechanism adds to a packet, in nanoseconds, round by round; and beside it what it is compared with."""

    kernel_ns: list[float] = field(default_factory=list)  # with it minus without
    reader_ns: list[float] = field(default_factory=list)  # CPU of a process that reads, where there is one
    at_all_ns: list[float] = field(default_factory=list)  # of a packet, all of the kernel's work

    def note(self, packet_ns: float, bare_ns: float, reader_ns: float) -> None:
        """Takes over one round."""
        self.kernel_ns.append(packet_ns - bare_ns)
        self.reader_ns.append(reader_ns)
        self.at_all_ns.append(packet_ns)

    def both_ns(self) -> list[float]:
        """The kernel's part and the reader's together."""
        return [kernel + reader for kernel, reader in zip(self.kernel_ns, self.reader_ns, strict=True)]

    def least_ns(self, bare: "Added") -> float:
        """The least of all rounds minus the least without it, and what the reader had at its best."""
        return min(self.at_all_ns) - min(bare.at_all_ns) + min(self.reader_ns)

    def ratios(self, other: "Added") -> list[float]:
        """To another one in the same rounds, readers included."""
        return [mine / theirs for mine, theirs in zip(self.both_ns(), other.both_ns(), strict=True) if theirs > 0]

    def median_ratio(self, other: "Added") -> float:
        """The middle of those."""
        return statistics.median(self.ratios(other))


@contextmanager
def beside(bench: Bench, *, cpu: int, addresses: int, seconds_max: int = SECONDS_MAX) -> Iterator[Callable[[], int]]:
    """The same traffic from another CPU as well, until the end. Afterwards it can be asked how many packets that were.

    Raises:
        BenchError: it ended before.
    """
    what = {"-i": "bench0", "-t": ADDRESS, "-n": 1 << 30, "-k": addresses, "-c": cpu, "-s": seconds_max}
    options = [str(part) for option in what.items() for part in option]
    command = ["nice", "-n", "-10", "ip", "netns", "exec", bench.namespace, str(BIN / "generator"), *options]
    packets = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        time.sleep(START_SECONDS)
        try:
            yield lambda: packets
            if other.poll() is not None:
                raise BenchError("the second generator ended too early")
        finally:
            other.send_signal(signal.SIGALRM)  # as if its time were up: it says what it did
        output, _ = other.communicate()
    packets = int(json.loads(output)["packets"])
