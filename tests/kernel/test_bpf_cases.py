"""Each case of the parser's table through the program in the kernel: the tests of the core that need root."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(960)  # where nothing is built yet
@pytest.mark.parametrize("name", ["bpf_cases", "bpf_choices", "bpf_loads"])
def test_the_kernel_counts_as_the_parser_reads(name: str) -> None:
    command = ["cargo", "test", "--quiet", "--locked", "-p", "netledger-core", "--test", name]
    ran = subprocess.run(
        [*command, "--", "--ignored"], cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-8000:]
    assert "test result: ok" in ran.stdout, ran.stdout
    assert " 0 passed" not in ran.stdout, ran.stdout
