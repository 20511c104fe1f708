"""The real daemon, run as an operator would: a configuration file, ``netledger run``, signals."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kernel.books import Books
from tests.kernel.lab import Child, Network, wait_for

LEFT = ("10.77.1.0/24", "fd77:1::/64")
START_SECONDS = 20.0
STOP_SECONDS = 90.0


def configuration(
    *,
    store: Path,
    runtime: Path,
    interval: str,
    meters: Mapping[str, str] | None = None,
) -> str:
    """A configuration file. ``meters`` maps a name to the lines of its table; by default one for the left side."""
    local = ", ".join(f'"{network}"' for network in LEFT)
    chosen = meters or {"lan": f'source = "nflog"\nlocal = [{local}]\nkey = ["host"]\n'}
    head = f'node = "gw1"\ninterval = "{interval}"\nstore = "{store}"\nruntime = "{runtime}"\n'
    return head + "".join(f"\n[meters.{name}]\n{lines}" for name, lines in chosen.items())


class Gateway:
    """``netledger run`` in a namespace, with its own store and runtime directory. Can be killed and started again."""

    def __init__(
        self,
        network: Network,
        namespace: str,
        *,
        interval: str = "1s",
        meters: Mapping[str, str] | None = None,
        store: Path | None = None,
        runtime: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.network = network
        self.options = tuple(options)
        self.namespace = namespace
        self.store = store or network.directory / "store"
        self.runtime = runtime or network.directory / "runtime"
        self.file = network.directory / "netledger.toml"
        self.children: list[Child] = []
        self.write(configuration(store=self.store, runtime=self.runtime, interval=interval, meters=meters))

    def write(self, text: str) -> None:
        """Replaces the configuration file."""
        self.file.write_text(text)

    @property
    def child(self) -> Child:
        return self.children[-1]

    def start(self, *settings: str) -> Child:
        """Starts it, with such settings in its environment as ``NAME=value``, and does not wait."""
        argv = ["env", *settings, sys.executable, "-m", "netledger", "run", "--config", str(self.file), *self.options]
        self.children.append(self.network.spawn(self.namespace, argv))
        return self.child

    def start_dying(self, module: str, die_at: str) -> Child:
        """Starts it by another module, which is told where to die, and does not wait."""
        argv = [sys.executable, "-m", module, die_at, "run", "--config", str(self.file), *self.options]
        self.children.append(self.network.spawn(self.namespace, argv))
        return self.child

    def start_counting(self, meter: str = "lan") -> Child:
        """Starts it, and waits until it says that the meter counts.

        Raises:
            RuntimeError: it ended instead; with its log.
        """
        child = self.start()
        self.wait_until_counting(meter)
        return child

    def wait_until_counting(self, meter: str = "lan") -> None:
        """Waits for the process that runs now to say so.

        Raises:
            RuntimeError: it ended instead; with its log.
        """
        child, said = self.child, f"meter={meter} event=counting"
        wait_for(lambda: said in child.errors() or not child.running, START_SECONDS, f"{said} in the log")
        if not child.running:
            raise RuntimeError(f"netledger run: status {child.wait()}: {child.errors()}")

    def wait_for_log(self, words: str, seconds: float = START_SECONDS) -> None:
        """Waits until any of its processes has said ``words``."""
        wait_for(lambda: words in self.log(), seconds, f"{words!r} in the log")

    def generations(self, meter: str = "lan") -> list[Path]:
        """The sidecars of the generations that are open or not yet committed."""
        return sorted((self.runtime / meter).glob("gen-*.json"))

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.child.signal(signal.SIGTERM)
        return self.child.wait()

    def books(self, meter: str = "lan") -> Books:
        return Books.read(self.store, meter)

    def wait_for_intervals(self, number: int, *, meter: str = "lan", seconds: float = 20.0) -> Books:
        """Waits until so many intervals are committed."""

        def committed() -> Books | None:
            names = list((self.store / "exports" / meter).glob("*.receipt.json"))
            return self.books(meter) if len(names) >= number else None

        books = wait_for(committed, seconds, f"{number} intervals; log: {self.log()}")
        assert books is not None
        return books

    def log(self) -> str:
        """What all its processes wrote to stderr, in order; whole lines."""
        return "".join(told[: told.rfind("\n") + 1] for told in (child.errors() for child in self.children))
