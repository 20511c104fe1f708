"""``netledger assign`` and ``unassign``: whose an address is from now on, or was."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, Timezone, readable_config
from netledger.errors import FactError, UsageError

if TYPE_CHECKING:
    from netledger.attribution.facts import Fact, Target
    from netledger.config import Config

_ANSWER_SECONDS: Final = 60.0

_Target = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="An address or network; or a MAC, an interface as in ppp0 or interface:ppp0, a mark as in mark:42.",
    ),
]
_From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", show_default=False, help="Since when, as in 2026-11-20T08:00. Default: from now on."
    ),
]
_To = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", show_default=False, help="Until when. Default: until further notice."),
]


def assign(
    address: _Target,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose it is: any name.")],
    *,
    start: _From = None,
    end: _To = None,
    timezone: Timezone = None,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Say whose an address is. What was said of it before ends then, and stays for the time until then.

    Works while `netledger run` counts, and while it does not. With cut_on_assignment it returns when the open intervals
    have ended: traffic that passes afterwards is the new holder's. A time in the past corrects what was said of it.
    """
    _tell(address, subject, start, end, timezone=timezone, json=json, config=config, store=store)


def unassign(
    address: _Target,
    *,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="SUBJECT", show_default=False, help="Only if it is his: who came meanwhile keeps it. For hooks."
        ),
    ] = None,
    start: _From = None,
    timezone: Timezone = None,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Say that an address is nobody's any more. Ends what `assign` and `assignments import` said of it, not others."""
    _tell(address, None, start, None, of=subject, timezone=timezone, json=json, config=config, store=store)


def _tell(
    address: str,
    subject: str | None,
    start: str | None,
    end: str | None,
    *,
    of: str | None = None,
    timezone: str | None,
    json: bool,
    config: Path | None,
    store: Path | None,
) -> None:
    from netledger.attribution.facts import ASSIGN, Fact, Target, given_subject
    from netledger.intervals import SystemClock
    from netledger.reports.assignments import sentence, told
    from netledger.reports.periods import Calendar
    from netledger.reports.zones import find

    readable = readable_config(config, store, needed=("store", "runtime"))
    settings = readable.config
    zone = find(timezone)
    now_ns = SystemClock().now().wall_ns
    calendar = Calendar(zone=zone)
    start_ns = None if start is None else calendar.moment("--from", start, now_ns=now_ns)
    end_ns = None if end is None else calendar.moment("--to", end, now_ns=now_ns)
    try:
        target = Target.parse(address)
        _refuse_what_is_turned_round(address, target, subject)
        wish = Fact(
            target=target,
            valid_from_ns=now_ns if start_ns is None else start_ns,
            valid_to_ns=end_ns,
            subject=None if subject is None else given_subject(subject),
            source=ASSIGN,
        )
    except FactError as error:
        raise UsageError(error.subject, error.operation, error.cause, error.hint) from error
    fact = _kept(wish, settings, is_now=start_ns is None, of=of)
    if json:
        typer.echo(json_text.dumps(asdict(told(fact)), ensure_ascii=False, indent=2))
    elif of is not None and not fact.id:
        typer.echo(f"{fact.target} is not {of}'s; nothing was changed")
    elif subject is None and not fact.id:
        typer.echo(f"{fact.target} was not assigned; nothing was changed")
    else:
        typer.echo(f"{sentence(fact, zone)}{'' if fact.id else '; that was said already'}")
    if subject is None:
        _tell_others(fact, settings)
    elif readable.refused is None:
        _tell_what_it_needs(fact, settings)


def _refuse_what_is_turned_round(address: str, target: "Target", subject: str | None) -> None:
    """A name in the place of the address would be taken for an interface, and the address be nobody's."""
    from netledger.attribution.facts import Kind, Target

    if subject is None or target.kind is not Kind.INTERFACE or ":" in address:
        return
    try:
        kind = Target.parse(subject).kind
    except FactError:
        return
    if kind in {Kind.ADDRESS, Kind.MAC}:
        raise UsageError(
            f"subject {subject}",
            "",
            f"this is an address, and {address} is none",
            f"the address comes first: {subject} {address}; an interface of this name is interface:{address}",
        )


def _tell_what_it_needs(fact: "Fact", settings: "Config") -> None:
    """An interface or a mark is somebody's in rows that have it, which no meter has by itself."""
    from netledger.attribution.facts import Kind

    column = fact.target.kind.value
    if fact.target.kind not in {Kind.INTERFACE, Kind.MARK}:
        return
    if not any(column in getattr(meter, "key", ()) for meter in settings.meters.values()):
        typer.echo(f"note: no meter has {column} in its key, so its traffic is not told apart", err=True)


def _kept(wish: "Fact", settings: "Config", *, is_now: bool, of: str | None) -> "Fact":
    """The fact as it is in the ledger: by the daemon, which can cut and may write; where none runs, by this process."""
    from netledger.errors import LedgerError, LiveError, NotRunningError

    try:
        return _kept_by_daemon(wish, settings, is_now=is_now, of=of)
    except NotRunningError:
        return _kept_here(wish, settings, of)
    except LiveError as error:
        # Better with a conflict in one interval than not at all.
        try:
            fact = _kept_here(wish, settings, of)
        except LedgerError:
            raise error from None
        typer.echo(f"note: written without the daemon, whose intervals go on: {error}", err=True)
        return fact


def _kept_by_daemon(wish: "Fact", settings: "Config", *, is_now: bool, of: str | None) -> "Fact":
    from dataclasses import replace

    from netledger.live import Client
    from netledger.receipt import parse_rfc3339, rfc3339

    done = Client(Path(settings.runtime), timeout_seconds=_ANSWER_SECONDS).assign(
        str(wish.target),
        wish.subject,
        start=None if is_now else rfc3339(wish.valid_from_ns),
        end=None if wish.valid_to_ns is None else rfc3339(wish.valid_to_ns),
        store=settings.store,
        of=of,
    )
    return replace(
        wish,
        id=done.id,
        valid_from_ns=parse_rfc3339(done.valid_from),
        learnt_ns=0 if done.learnt_at is None else parse_rfc3339(done.learnt_at),
        detail=done.detail,
    )


def _kept_here(wish: "Fact", settings: "Config", of: str | None) -> "Fact":
    from dataclasses import replace

    from netledger.intervals import SystemClock
    from netledger.ledger.assignments import Assignments, begin
    from netledger.live.users import name_of

    store, clock = Path(settings.store), SystemClock()
    begin(store, clock)
    fact = replace(wish, detail={"by": name_of(os.getuid())})
    book = Assignments(store, clock)
    return next(iter(book.add([fact]) if of is None else book.end(fact, of=of)), fact)


def _tell_others(fact: "Fact", settings: "Config") -> None:
    """Who else says that it is somebody's: `unassign` does not end that, and who types it may think so."""
    from netledger.attribution.facts import ASSIGN, IMPORT
    from netledger.attribution.standing import standing
    from netledger.intervals import SystemClock
    from netledger.ledger.assignments import Assignments

    known = Assignments(Path(settings.store), SystemClock()).facts(target=fact.target)
    for one in standing(known):
        if one.valid_from_ns <= fact.valid_from_ns < one.end_ns and one.subject is not None:
            typer.echo(f"note: {one.source} says that it is {one.subject}'s, and goes on to", err=True)
            if one.source not in {*settings.attribution, ASSIGN, IMPORT}:
                typer.echo(
                    f"hint: nobody follows {one.source} any more: netledger assignments end {one.source}", err=True
                )
