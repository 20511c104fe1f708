"""``netledger flows``: what it refuses before it asks the kernel."""

import pytest

from tests.unit.test_cli_main import netledger


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["5"], "SECONDS 5.0: only with --watch"),
        (["--follow", "--watch"], "--follow, --watch: only one of them at a time"),
        (["--follow", "--sort", "bytes"], "--follow: cannot go with --sort or --names"),
        (["--follow", "--names"], "--follow: cannot go with --sort or --names"),
        (["--sort", "rate"], "--sort rate: only with --watch"),
        (["--sort", "colour"], "--sort colour: not possible here"),
        (["--unit", "bits"], "--unit bits: not possible here"),
        (["--where", "colour=red"], "--where colour=red: no such word: colour"),
        (["--follow", "--where", "port=x"], "--where port=x: x is no port"),
        (["--limit", "0"], "Invalid value for '--limit'"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], said: str) -> None:
    done = netledger("flows", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
