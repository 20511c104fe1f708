"""The manual pages: whole, and what troff reads without a word."""

import subprocess

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from netledger.cli.main import app
from netledger.cli.manual import pages
from netledger.config import Config


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages(typer.main.get_command(app))


def test_every_command_has_a_page_with_all_its_options(written: dict[str, str]) -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        text = written[f"netledger-{name}.1"].replace("\\-", "-")
        options = [one for one in command.params if isinstance(one, TyperOption) and not one.hidden]
        assert all(option in text for one in options for option in one.opts)
        assert f"netledger {name}" in written["netledger.1"].replace("\\-", "-")


def test_every_key_of_the_configuration_is_told(written: dict[str, str]) -> None:
    text = written["netledger.toml.5"]
    for name, field in Config.model_fields.items():
        assert f"\\fB{field.alias or name}\\fR" in text
    assert "[meters.NAME.nflog.groups]" in text
    assert 'Default: "5m".' in text


@pytest.mark.peers("groff")
def test_troff_finds_nothing_wrong(written: dict[str, str]) -> None:
    for name, text in written.items():
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z"], input=text, capture_output=True, text=True, check=False
        )
        assert (name, done.returncode, done.stderr) == (name, 0, "")


@pytest.mark.peers("groff")
def test_a_line_that_begins_with_a_dot_is_text() -> None:
    command = typer.Typer(add_completion=False)

    @command.command(help="Do it.\n\n.TH is not a request here, and 'neither is this: C:\\n stays.")
    def do() -> None:
        """Nothing."""

    (text,) = (page for name, page in pages(typer.main.get_command(command)).items() if name == "netledger.1")
    shown = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=text, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert ".TH is not a request here, and 'neither is this: C:\\n stays." in " ".join(shown.stdout.split())
