"""``netledger assignments``: what is known of whose addresses are and were."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, Timezone, load_config, readable_config, standard_output
from netledger.cli.progress import progress_bar
from netledger.errors import FactError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from netledger.attribution.facts import Fact
    from netledger.imports.assignments import Found, Mistake

assignments = typer.Typer(
    name="assignments", help="What is known of whose addresses are, and were.", no_args_is_help=True
)

_EXIT_FAILED: Final = 1
_MISTAKES_SHOWN_MAX: Final = 1000


@assignments.command(name="list")
def list_(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]",
            show_default=False,
            help="Only what speaks of this address or network, of what lies around it, and of a network in it; or a "
            "MAC, an interface, a mark.",
        ),
    ] = None,
    *,
    subject: Annotated[
        str | None, typer.Option(metavar="SUBJECT", show_default=False, help="Only what is his.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every fact as it was learnt, what was replaced and ended too.")
    ] = False,
    as_known_at: Annotated[
        str | None,
        typer.Option("--as-known-at", metavar="TIME", show_default=False, help="Leave out what was learnt later."),
    ] = None,
    timezone: Timezone = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, which `import` reads again.")] = False,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Print what is assigned: of each source and target what was not replaced by something later, in order of time."""
    from netledger.attribution.facts import Target
    from netledger.attribution.standing import standing
    from netledger.intervals import SystemClock
    from netledger.ledger.assignments import Assignments
    from netledger.reports import assignments as shown
    from netledger.reports.periods import Calendar
    from netledger.reports.zones import find

    if csv and json:
        raise UsageError("--csv", "", "not together with --json")
    calendar: Calendar = Calendar(zone=find(timezone))
    now_ns = SystemClock().now().wall_ns
    known_ns = None if as_known_at is None else calendar.known_at("--as-known-at", as_known_at, now_ns=now_ns)
    try:
        target = None if address is None else Target.parse(address)
    except FactError as error:
        raise UsageError(error.subject, error.operation, error.cause, error.hint) from error
    settings = readable_config(config, store, needed=("store",)).config
    facts = Assignments(Path(settings.store), SystemClock()).facts(as_known_at_ns=known_ns)
    found: Sequence[Fact] = facts if history else shown.ordered(standing(facts))
    found = found if target is None else shown.about(found, target)
    found = found if subject is None else _of(subject, found, facts)
    with standard_output():
        if json:
            typer.echo(json_text.dumps([asdict(shown.told(fact)) for fact in found], ensure_ascii=False, indent=2))
        elif csv:
            shown.write_csv(found, sys.stdout)
        elif found:
            sys.stdout.writelines(f"{line}\n" for line in shown.table(found, calendar.zone, with_history=history))
        else:
            typer.echo("nothing is assigned")


def _of(subject: str, found: "Sequence[Fact]", facts: "Sequence[Fact]") -> "Sequence[Fact]":
    """What is his of those that were found; says so where nothing at all is known of him."""
    from netledger.cli.report import tell_strangers
    from netledger.reports.subject_names import Stranger, nearest

    known = {fact.subject for fact in facts if fact.subject is not None}
    if subject not in known:
        tell_strangers([Stranger(subject, nearest(subject, known))])
    return [fact for fact in found if fact.subject == subject]


@assignments.command(name="import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            readable=False,
            help="A file with the columns address, subject, from and to, or a list that --csv has printed.",
        ),
    ],
    *,
    start: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="Since when, where a line does not say."),
    ] = "now",
    timezone: Timezone = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, say what is wrong, and do nothing.")
    ] = False,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Assign what a CSV file says: all of it, or nothing where a line is wrong. To do it twice is harmless.

    Works while `netledger run` counts and while it does not. Open intervals go on: it is for what is known already.
    """
    from netledger.imports.assignments import read
    from netledger.intervals import SystemClock
    from netledger.ledger.assignments import Assignments, begin

    clock = SystemClock()
    read_time = _time_reader(timezone)
    directory = Path(readable_config(config, store, needed=("store",)).config.store)
    from_ns = read_time("--from", start)
    with progress_bar() as progress:
        found = read(file, default_from_ns=from_ns, read_time=read_time, progress=progress)
        added: Sequence[Fact] = ()
        if not found.mistakes and not dry_run:
            begin(directory, clock)
            added = Assignments(directory, clock).add(found.facts, progress=progress)
    _tell_mistakes(file, found.mistakes)
    if json:
        typer.echo(json_text.dumps(_shape(found, added), ensure_ascii=False, indent=2))
    elif found.mistakes:
        typer.echo(f"nothing of {len(found.facts) + len(found.mistakes):,} lines is imported", err=True)
    elif dry_run:
        typer.echo(f"{len(found.facts):,} lines, none of them wrong; nothing was imported")
    else:
        typer.echo(f"{len(found.facts):,} lines: {len(added):,} new, {len(found.facts) - len(added):,} said already")
    if found.mistakes:
        raise typer.Exit(_EXIT_FAILED)


@assignments.command()
def end(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The NAME of an [attribution.NAME] that is configured no more.")
    ],
    *,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Since when it claims nothing.")] = "now",
    timezone: Timezone = None,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """End all that a source claims which nobody follows any more. What it said of the time before stays.

    Works while `netledger run` counts and while it does not. Open intervals go on.
    """
    from netledger.attribution.ending import endings
    from netledger.intervals import SystemClock
    from netledger.ledger.assignments import Assignments
    from netledger.live.users import name_of
    from netledger.receipt import rfc3339
    from netledger.reports.zones import find

    settings = load_config(config, store)
    book = Assignments(Path(settings.store), SystemClock())
    _refuse_source(source, settings.attribution, book.sources())
    from_ns = _time_reader(timezone)("--from", start)
    ended = book.add(endings(book.facts(source=source), from_ns=from_ns, detail={"by": name_of(os.getuid())}))
    if json:
        shape = {"source": source, "from": rfc3339(from_ns), "claims": len(ended)}
        typer.echo(json_text.dumps(shape, ensure_ascii=False, indent=2))
    elif ended:
        word = "claim ends" if len(ended) == 1 else "claims end"
        typer.echo(f"{len(ended):,} {word} at {find(timezone).text(from_ns)}: {source} says nothing any more")
    else:
        typer.echo(f"{source} claims nothing of then and later; nothing was changed")


def _refuse_source(source: str, followed: "Collection[str]", known: "Sequence[str]") -> None:
    from netledger.attribution.facts import ASSIGN, IMPORT

    if source in {ASSIGN, IMPORT}:
        raise UsageError(f"source {source}", "", "this is what people said", "netledger unassign ADDRESS ends that")
    if source in followed:
        hint = f"take [attribution.{source}] out of the configuration first, and reload"
        raise UsageError(f"source {source}", "", "it is followed, and would say the same again", hint)
    if source not in known:
        others = ", ".join(one for one in known if one not in {ASSIGN, IMPORT, *followed}) or "none"
        hint = f"sources of facts that nobody follows: {others}"
        raise UsageError(f"source {source}", "", "nothing was ever learnt from it", hint)


def _time_reader(timezone: str | None) -> "Callable[[str, str], int]":
    from netledger.intervals import SystemClock
    from netledger.reports.periods import Calendar
    from netledger.reports.zones import find

    calendar: Calendar = Calendar(zone=find(timezone))
    now_ns = SystemClock().now().wall_ns
    return lambda option, text: calendar.moment(option, text, now_ns=now_ns)


def _shape(found: "Found", added: "Sequence[Fact]") -> dict[str, object]:
    return {
        "lines": len(found.facts) + len(found.mistakes),
        "added": len(added),
        "mistakes": [{"line": one.line, "cause": one.cause, "hint": one.hint} for one in found.mistakes],
    }


def _tell_mistakes(file: Path, mistakes: "Sequence[Mistake]") -> None:
    for one in mistakes[:_MISTAKES_SHOWN_MAX]:
        typer.echo(f"{file}:{one.line}: {one.cause}", err=True)
        if one.hint is not None:
            typer.echo(f"hint: {one.hint}", err=True)
    if len(mistakes) > _MISTAKES_SHOWN_MAX:
        typer.echo(f"{file}: {len(mistakes) - _MISTAKES_SHOWN_MAX:,} more lines are wrong", err=True)
