"""``netledger quota``: limits on named counters, and what happens when one is reached."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, Timezone, load_config, print_restored
from netledger.cli.where import other_namespace, require_daemons_namespace
from netledger.errors import UsageError

if TYPE_CHECKING:
    from enum import StrEnum

    from netledger.config import Config
    from netledger.quotas.book import Book
    from netledger.quotas.definition import Definition
    from netledger.quotas.objects import Objects
    from netledger.quotas.shown import Standing

quota = typer.Typer(
    name="quota", help="Limits on named counters of the kernel, and what happens then.", no_args_is_help=True
)

_SECONDS: Final = 60
_FAMILY: Final = re.compile(r"inet|ip|ip6|bridge|arp|netdev")
_TABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the quota, and of the kernel's object.")]
_Some = Annotated[
    str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Only this quota. Default: all.")
]
_Limit = Annotated[
    str,
    typer.Argument(metavar="LIMIT", help="As 10GB (1000s), 500MiB (1024s), 1500000B, '1M packets' or '20000 packets'."),
]
_Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- PROGRAM [ARGUMENT]...]",
        show_default=False,
        help="What the daemon runs when the limit is reached: a whole path and its arguments, without a shell.",
    ),
]
_Kind = Annotated[
    str, typer.Option(metavar="KIND", help="What counts: nfacct (for iptables -m nfacct), or nft, for bytes only.")
]
_Every = Annotated[str, typer.Option(metavar="STEP", help="When it begins anew: once, day, week or month.")]
_BillingDay = Annotated[
    int, typer.Option(metavar="DAY", help="With --every month, on which day; in a shorter month on its last day.")
]
_AtReset = Annotated[bool, typer.Option("--at-reset", help="Run the command at each reset too, to undo what it did.")]
_CommandSeconds = Annotated[int, typer.Option(metavar="N", help="How long the command may take, 1 to 3600 seconds.")]
_Verdict = Annotated[
    str | None,
    typer.Option(metavar="VERDICT", show_default=False, help="Of the printed rules: drop or reject. Default: none."),
]
_Address = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        show_default=False,
        help="Whose traffic the printed rules count: an address or network, repeatable. Default: all.",
    ),
]
_Table = Annotated[
    str, typer.Option(metavar="'FAMILY NAME'", help="With --kind nft: the table that holds the quota object.")
]
_PrintRule = Annotated[
    bool, typer.Option("--print-rule", help="Print the rules that lead packets to it; they are never loaded.")
]


@quota.command()
def add(
    name: _Name,
    limit: _Limit,
    command: _Command = None,
    *,
    kind: _Kind = "nfacct",
    every: _Every = "once",
    billing_day: _BillingDay = 1,
    timezone: Timezone = None,
    at_reset: _AtReset = False,
    command_seconds: _CommandSeconds = _SECONDS,
    verdict: _Verdict = None,
    address: _Address = None,
    table: _Table = "inet netledger_quotas",
    print_rule: _PrintRule = False,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Agree on a quota: it goes to the ledger, and its object to the kernel. Needs CAP_NET_ADMIN.

    Works with and without the daemon, which sees it within a second. Events, commands, resets and the object after
    a reboot are the daemon's. Rules that lead packets to the object are yours: --print-rule prints them.
    """
    from netledger.intervals import SystemClock
    from netledger.quotas.agree import agree
    from netledger.quotas.rules import rules
    from netledger.quotas.shown import as_json, definition_line, standing_of

    one = _definition(
        name,
        limit,
        kind=kind,
        every=every,
        billing_day=billing_day,
        timezone=timezone,
        command=tuple(command or ()),
        is_run_at_reset=at_reset,
        command_seconds=command_seconds,
        verdict=verdict,
        addresses=tuple(address or ()),
        table=table,
    )
    _check_add(one.command, json=json, print_rule=print_rule)
    settings = load_config(config, store)
    require_daemons_namespace(settings, f"quota {name}")
    book = _book(settings)
    with _written(settings):
        objects = _objects(settings)
        used = agree(book, objects, SystemClock(), one)
    if json:
        shown = as_json(standing_of(book.states[name], objects.seen(one), SystemClock().now().wall_ns, None))
        typer.echo(json_text.dumps(shown, ensure_ascii=False, indent=2))
    elif not print_rule:
        typer.echo(definition_line(one))
    if used.packets or used.bytes:
        told = f"{used.packets:,} packets, {used.bytes:,} bytes"
        typer.echo(f"note: its object was there and has counted {told}: that is used already", err=True)
    if print_rule:
        typer.echo("\n".join(rules(one)))


@quota.command()
def remove(
    name: _Name,
    *,
    keep_object: Annotated[bool, typer.Option("--keep-object", help="Leave the kernel's object where it is.")] = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Take a quota out, and delete its object where no rule uses it. Needs CAP_NET_ADMIN.

    What became of it stays in the ledger. A command that waits is not run any more.
    """
    from netledger.quotas.agree import take_out
    from netledger.quotas.objects import Objects

    settings = load_config(config, store)
    require_daemons_namespace(settings, f"quota {name}")
    with _written(settings):
        done = take_out(_book(settings), Objects(), name, keep_object=keep_object)
    typer.echo(f"quota {name} is removed; used were {done.used.packets:,} packets, {done.used.bytes:,} bytes")
    if done.is_object_left and not keep_object:
        typer.echo(f"note: its object stays, for rules use it, and they go on as before: {name}", err=True)


@quota.command(name="list")
def list_(name: _Some = None, *, json: Json = False, config: ConfigFile = None, store: Store = None) -> None:
    """Print the quotas and how they stand, by the kernel's objects; without CAP_NET_ADMIN by the newest reading."""
    from netledger.quotas.shown import as_json, print_list

    settings = load_config(config, store)
    if (elsewhere := other_namespace(settings, "quota list")) is not None:
        typer.echo(f"netledger: {elsewhere}; what follows is of this one\nhint: {elsewhere.hint}", err=True)
    book = _book(settings)
    standings = _standings(book, name)
    if json:
        typer.echo(json_text.dumps([as_json(one) for one in standings], ensure_ascii=False, indent=2))
    elif standings:
        print_list(standings, sys.stdout)
    else:
        typer.echo("no quotas")


@quota.command()
def events(
    name: _Some = None,
    *,
    timezone: Timezone = None,
    json: Json = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Print what became of quotas, the oldest first: added, reached, reset, results of commands, what was mended."""
    from netledger.ledger.quota_facts import QuotaFacts
    from netledger.quotas.shown import event_json, event_line
    from netledger.reports.zones import find

    settings = load_config(config, store)
    facts = QuotaFacts(Path(settings.store), settings.node).since().facts
    found = [fact for fact in facts if name in (None, fact.quota)]
    if json:
        for fact in found:
            typer.echo(json_text.dumps(event_json(fact), ensure_ascii=False))
        return
    zone = find(timezone)
    for fact in found:
        typer.echo(event_line(fact, zone))


@quota.command()
def reset(name: _Name, *, json: Json = False, config: ConfigFile = None, store: Store = None) -> None:
    """Begin a quota's period anew, now: what was used goes to the ledger, as at a boundary. Needs CAP_NET_ADMIN.

    The next boundary stays where it was. Works with and without the daemon. Each packet is in the old period or in the
    new one; rules stay as they are, and let the whole limit pass again.
    """
    from netledger.daemon.quotas import TRACES_DIRECTORY
    from netledger.intervals import SystemClock
    from netledger.quotas.book import the
    from netledger.quotas.keeper import Keeper
    from netledger.quotas.shown import event_json
    from netledger.quotas.state import count_of

    settings = load_config(config, store)
    runtime = Path(settings.runtime)
    # Without the directory no daemon has run since boot; a kill in the very moment makes the sum one of at least.
    traces = runtime / TRACES_DIRECTORY if runtime.is_dir() else None
    _quiet()
    book = _book(settings)
    the(book, name)
    require_daemons_namespace(settings, f"quota {name}")
    with _written(settings):
        done = Keeper(book, _objects(settings), SystemClock(), traces=traces).reset(name).begun
    if json:
        typer.echo(json_text.dumps(event_json(done), ensure_ascii=False, indent=2))
        return
    used = count_of(done.told)
    least = "" if done.told.get("is_exact") else "at least "
    typer.echo(f"quota {name} begins anew; used were {least}{used.packets:,} packets, {used.bytes:,} bytes")


@quota.command()
def rule(
    name: _Name,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Print what takes the printed rules out again.")] = False,
    config: ConfigFile = None,
    store: Store = None,
) -> None:
    """Print the rules that lead packets to a quota's object: for iptables, or for nft -f. They are never loaded."""
    from netledger.quotas.book import the
    from netledger.quotas.rules import removal, rules

    one = the(_book(load_config(config, store)), name).definition
    typer.echo("\n".join(removal(one) if remove else rules(one)))


@quota.command()
def restore(*, json: Json = False, config: ConfigFile = None, store: Store = None) -> None:
    """Make the kernel's objects that are not there, with what was used: at boot, before rules that need them.

    Needs CAP_NET_ADMIN, and no daemon; that one does the same when it starts.
    """
    from netledger.intervals import SystemClock
    from netledger.quotas.keeper import Keeper

    settings = load_config(config, store)
    book = _book(settings)
    keeper = Keeper(book, _objects(settings), SystemClock())
    if not (Path(settings.store) / "ledger.sqlite").exists():
        # At the first boot there is nothing to restore, and a store is not made for that.
        if json:
            typer.echo("[]")
        return
    require_daemons_namespace(settings, "quotas")
    _quiet()
    with _written(settings):
        made = keeper.restore()
    there = [name for name in sorted(book.states) if name not in keeper.failures]
    had = {name: book.states[name].last_used() for name in there}
    print_restored([(name, had[name] if name in made else None) for name in there], json=json)
    for name, why in keeper.failures.items():
        typer.echo(f"netledger: {name}: {why}", err=True)
    if keeper.failures:
        raise typer.Exit(1)


def _definition(
    name: str,
    limit: str,
    *,
    kind: str,
    every: str,
    billing_day: int,
    timezone: str | None,
    command: tuple[str, ...],
    is_run_at_reset: bool,
    command_seconds: int,
    verdict: str | None,
    addresses: tuple[str, ...],
    table: str,
) -> "Definition":
    from netledger.quotas import definition as agreed
    from netledger.reports.zones import find

    number, unit = agreed.parse_limit(limit)
    family, _, table_name = table.partition(" ")
    if not _FAMILY.fullmatch(family) or not _TABLE.fullmatch(table_name):
        raise UsageError(f"--table {table}", "", "not a family and a table", "as in 'inet filter'")
    zone = find(timezone).name
    if timezone is None:
        # It has to be found again under its name, by the daemon, for years.
        find(zone)
    return agreed.Definition(
        name=name,
        limit=number,
        unit=unit,
        kind=agreed.Kind(_one_of("--kind", kind, agreed.Kind)),
        every=agreed.Every(_one_of("--every", every, agreed.Every)),
        billing_day=billing_day,
        timezone=zone,
        command=command,
        is_run_at_reset=is_run_at_reset,
        command_seconds=command_seconds,
        verdict=None if verdict is None else agreed.Verdict(_one_of("--verdict", verdict, agreed.Verdict)),
        addresses=addresses,
        family=family,
        table=table_name,
    )


def _one_of(option: str, text: str, words: "type[StrEnum]") -> str:
    if text not in list(words):
        raise UsageError(f"{option} {text}", "", "not possible here", f"there are {', '.join(words)}")
    return text


def _check_add(command: tuple[str, ...], *, json: bool, print_rule: bool) -> None:
    if json and print_rule:
        raise UsageError("--json", "", "not with --print-rule", "the rules are of netledger quota rule NAME")
    if command and not (os.path.isfile(command[0]) and os.access(command[0], os.X_OK)):  # noqa: PTH113  # may hold anything
        hint = "put the program there first, and make it executable: chmod +x"
        raise UsageError(f"command {command[0]}", "", "it is not there, or cannot be run", hint)


@contextmanager
def _written(settings: "Config") -> Iterator[None]:
    """The store is there, and of this version."""
    from netledger.intervals import SystemClock
    from netledger.ledger import Ledger

    ledger = Ledger(Path(settings.store), clock=SystemClock())
    ledger.open()
    try:
        yield
    finally:
        ledger.close()


def _quiet() -> None:
    """What the daemon would log the command says in its own words."""
    import logging

    logging.getLogger("netledger").addHandler(logging.NullHandler())


def _objects(settings: "Config") -> "Objects":
    from netledger.quotas.objects import Objects
    from netledger.sources.made import Register

    return Objects(register=Register(Path(settings.runtime)))


def _book(settings: "Config") -> "Book":
    from netledger.intervals import SystemClock
    from netledger.quotas.book import Book

    return Book(Path(settings.store), settings.node, SystemClock())


def _standings(book: "Book", name: str | None) -> "list[Standing]":
    from netledger.errors import PermissionDeniedError
    from netledger.intervals import SystemClock
    from netledger.quotas.book import the
    from netledger.quotas.objects import Objects
    from netledger.quotas.shown import standing_of

    book.refresh()
    states = [the(book, name)] if name is not None else [book.states[one] for one in sorted(book.states)]
    objects, now_ns, found = Objects(), SystemClock().now().wall_ns, []
    for state in states:
        try:
            found.append(standing_of(state, objects.seen(state.definition), now_ns, None))
        except PermissionDeniedError:
            why = "as it was written down last: to ask the kernel needs CAP_NET_ADMIN"
            found.append(standing_of(state, None, now_ns, why))
    return found
