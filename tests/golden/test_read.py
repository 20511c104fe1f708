"""``netledger read`` on captures written by struct, editcap and mergecap: its output, byte for byte."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import typer
from typer.testing import CliRunner

from netledger.cli.read import read
from tests.conftest import Golden

HERE = Path(__file__).parent
CAPTURES = HERE / "captures"
EXPECTED = HERE / "expected"

Run: TypeAlias = Callable[[str], tuple[int, bytes, str]]
"""Runs the command among the captures: its exit code, standard output and standard error."""

FLOW = "host,peer,protocol,host_port,peer_port"
OUTPUTS = {
    "hosts.csv": "mixed.pcap --csv",
    "hosts.json": "mixed.pcap --json",
    "hosts.txt": "mixed.pcap",
    "flows.csv": f"mixed.pcap --csv --key {FLOW}",
    "flows.txt": f"mixed.pcap --key {FLOW} --sort host --top 5",
    "intervals.csv": "mixed.pcap --csv --interval 5m",
    "intervals.json": "mixed.pcap --json --interval 5m --top 1",
    "local.csv": "mixed.pcap --csv --local 192.0.2.0/24 --local 2001:db8:1::/48",
    "local-intervals.txt": "mixed.pcap --local 192.0.2.0/24 --interval 1m",
    "bounded.csv": "mixed.pcap --csv --rows-max 3 --interval 5m",
    "bounded.txt": "mixed.pcap --rows-max 3",
    "prefixes.csv": "mixed.pcap --csv --prefix-length-ipv4 24 --prefix-length-ipv6 48 --sort host",
    "addresses.csv": "mixed.pcap --csv --prefix-length-ipv6 128 --sort packets",
    "protocols.csv": "mixed.pcap --csv --key protocol --sort protocol",
    "three-interfaces.csv": "three-interfaces.pcapng --csv",
    "three-interfaces.json": "three-interfaces.pcapng --json --top 2",
    "two-sections.csv": "two-sections.pcapng --csv",
    "raw.csv": "raw.pcap --csv",
    "cooked.txt": "cooked.pcap",
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(CAPTURES)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(read)

    def invoke(arguments: str) -> tuple[int, bytes, str]:
        result = CliRunner().invoke(app, arguments.split(), catch_exceptions=False)
        return result.exit_code, result.stdout_bytes, result.stderr

    return invoke


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_capture_reads_as_before(name: str, run: Run, golden: Golden) -> None:
    code, output, _ = run(OUTPUTS[name])
    assert code == 0
    golden(EXPECTED / name, output)


@pytest.mark.parametrize("capture", ["mixed-big-endian.pcap", "mixed.nsecpcap", "mixed.pcapng"])
def test_the_format_makes_no_difference(capture: str, run: Run) -> None:
    for options in ("--csv", f"--csv --interval 5m --key {FLOW}"):
        code, output, errors = run(f"mixed.pcap {options}")
        assert run(f"{capture} {options}") == (code, output, errors.replace("mixed.pcap", capture))


def test_a_capture_that_is_cut_short_gives_its_whole_packets_and_exit_code_3(run: Run, golden: Golden) -> None:
    code, output, errors = run("mixed-cut.pcap --csv")
    assert code == 3
    golden(EXPECTED / "cut.csv", output)
    golden(EXPECTED / "cut.stderr.txt", errors.encode())
