"""Skip here, fail there; the versions that matter; golden files."""

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings

from tests.requirements import missing_bpf, missing_kernel, missing_loop, missing_peers, required, verdict

Golden = Callable[[Path, bytes], None]

# No test is timed. Where nothing may be skipped a change is judged, by the same examples each time; elsewhere new ones
# are looked for.
settings.register_profile("netledger", deadline=None, derandomize=bool(os.environ.get("NETLEDGER_REQUIRE")))
settings.load_profile("netledger")

# Programs for the administrator lie in sbin, which is not in everybody's PATH. And netledger brings programs with the
# names of old ones; where its environment is active, they must not be taken for the old ones.
_OURS = str(Path(sys.executable).parent)
_PLACES = [place for place in os.environ["PATH"].split(":") if place != _OURS]
os.environ["PATH"] = ":".join([*_PLACES, "/usr/local/sbin", "/usr/sbin", "/sbin"])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="write the golden files instead of comparing them")


def pytest_report_header() -> str:
    nft = _first_line("nft", "--version")
    rustc = _first_line("rustc", "--version")
    require = os.environ.get("NETLEDGER_REQUIRE") or "nothing"
    return (
        f"kernel {platform.release()}; {nft}; python {platform.python_version()}; {rustc}; "
        f"pyarrow {version('pyarrow')}; required: {require}"
    )


def pytest_configure() -> None:
    """Refuses a mistyped requirement before anything is skipped because of it; interrupts are as on a terminal."""
    # Who runs the tests in the background of a shell has SIGINT ignored, and so would all that they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        required(os.environ.get("NETLEDGER_REQUIRE"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_runtest_setup(item: pytest.Item) -> None:
    require = required(os.environ.get("NETLEDGER_REQUIRE"))
    for marker in item.iter_markers():
        if marker.name == "kernel":
            decision = verdict("kernel", missing_kernel(), require)
        elif marker.name == "bpf":
            # No kind of its own: who requires the kernel to be tested requires a kernel on which all can be.
            decision = verdict("kernel", missing_kernel() or missing_bpf(platform.release()), require)
        elif marker.name == "loop":
            decision = verdict("loop", missing_loop(), require)
        elif marker.name == "peers":
            decision = verdict("peers", missing_peers(marker.args), require)
        else:
            continue
        if decision.action == "fail":
            pytest.fail(decision.reason, pytrace=False)
        if decision.action == "skip":
            pytest.skip(decision.reason)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares bytes with a golden file; ``make golden-update`` writes it instead."""
    update = bool(request.config.getoption("--golden-update"))

    def compare(path: Path, actual: bytes) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(actual)
            return
        assert path.exists(), f"{path}: not there; `make golden-update` writes it"
        assert actual.decode(errors="backslashreplace") == path.read_bytes().decode(errors="backslashreplace")

    return compare


def _first_line(program: str, argument: str) -> str:
    if shutil.which(program) is None:
        return f"no {program}"
    answer = subprocess.run([program, argument], capture_output=True, text=True, timeout=120, check=False)
    return (answer.stdout or answer.stderr).partition("\n")[0].strip()
