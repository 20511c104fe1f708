"""The reference pages say what the program says, and each link of the documentation leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer
from pydantic import BaseModel, Field

from tests import reference

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)
FENCE = re.compile(r"^(?P<mark>```|~~~).*?^(?P=mark)", re.MULTILINE | re.DOTALL)


def _anchors(text: str) -> set[str]:
    """What headings are called in an address."""
    headings = (found["text"] for found in HEADING.finditer(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _dead_links(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for found in LINK.finditer(FENCE.sub("", text)):
        name, _, anchor = found["target"].partition("#")
        if "://" in name or name.startswith("mailto:"):
            continue
        target = page.parent / name if name else page
        if not target.exists():
            yield f"{page}: {found['target']}: no such file"
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target.read_text(encoding="utf-8")):
            yield f"{page}: {found['target']}: no such heading"


@pytest.mark.parametrize("name", ["commands.md", "configuration.md", "columns.md", "errors.md"])
def test_the_reference_page_is_what_the_program_says(name: str) -> None:
    page = reference.FOLDER / name
    assert page.exists(), f"{page}: not there; `make docs` writes it"
    assert page.read_text(encoding="utf-8") == reference.pages()[name], "`make docs` writes it anew"


def test_each_old_command_has_its_page() -> None:
    tools = re.findall(r"^## netledger compat (\S+)$", reference.pages()["commands.md"], re.MULTILINE)
    assert tools
    assert [tool for tool in tools if not (reference.FOLDER / f"compat-{tool}.md").exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_leads_somewhere(page: Path) -> None:
    assert list(_dead_links(page)) == []


def test_the_changelog_names_the_room_in_each_line() -> None:
    entries = re.findall(r"^- (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert entries
    assert [entry for entry in entries if not re.match(r"[a-z][a-z0-9 `/-]*: \S", entry)] == []


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](gone.md)", "gone.md: no such file"),
        ("[a](other.md#gone)", "other.md#gone: no such heading"),
        ("[a](#gone)", "#gone: no such heading"),
    ],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str, complaint: str) -> None:
    (tmp_path / "other.md").write_text("# Here\n\n```\n# gone\n```\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{link} [b](other.md#here) [c](#page) [d](https://example.org/#x)\n\n```\n[e](f)\n```\n")
    assert list(_dead_links(page)) == [f"{page}: {complaint}"]


def _app(*, command_help: str | None, option_help: str | None) -> object:
    app = typer.Typer(help="Counts.")
    inner = typer.Typer(help="Shows things.")
    app.add_typer(inner, name="show")

    @inner.command(help=command_help)
    def rows(limit: Annotated[int, typer.Option(help=option_help)] = 10) -> None:
        typer.echo(limit)

    @inner.command(help="Nothing to see.", hidden=True)
    def secret() -> None:
        typer.echo("")

    return typer.main.get_command(app)


def test_the_page_of_commands_names_each_command_and_option() -> None:
    page = reference.commands_page(_app(command_help="Prints rows.", option_help="How many."))
    assert "## netledger show\n\nShows things.\n" in page
    assert "## netledger show rows\n\nPrints rows.\n" in page
    assert "| `--limit` | `10` | How many. |" in page
    assert "secret" not in page


def test_a_command_without_help_is_refused() -> None:
    with pytest.raises(ValueError, match="command netledger show rows: no help"):
        reference.commands_page(_app(command_help=None, option_help="How many."))


def test_an_option_without_help_is_refused() -> None:
    with pytest.raises(ValueError, match=r"command netledger show rows: `--limit`: no help"):
        reference.commands_page(_app(command_help="Prints rows.", option_help=None))


class _Lamp(BaseModel):
    """A lamp."""

    watts: int = Field(default=5, ge=1, le=9, description="Power.")


class _Room(BaseModel):
    """A room."""

    name: str = Field(description="What it is called.")
    lamps: dict[str, _Lamp] = Field(default={}, description="The lamps.")


def test_the_page_of_the_configuration_names_each_key_at_every_depth() -> None:
    page = reference.configuration_page(_Room.model_json_schema(), {})
    assert "| `name` | required | What it is called. |" in page
    assert "## lamps\n\nA lamp.\n" in page
    assert "| `watts` | `5` | Power. 1 to 9. |" in page


def test_a_key_without_description_is_refused() -> None:
    class Mute(BaseModel):
        """Says nothing of its key."""

        key: int = 1

    with pytest.raises(ValueError, match="key: no description"):
        reference.configuration_page(Mute.model_json_schema(), {})
