"""``netledger audit``: are the books balanced, and is the store what was committed?"""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from netledger.cli.options import ConfigFile, Json, Store, load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netledger.ledger.intervals import IntervalRow
    from netledger.ledger.reader import Reader
    from netledger.ledger.verify import Problem
    from netledger.receipt import Balance

_EXIT_INCOMPLETE: Final = 3
_EXIT_TAMPERED: Final = 4


def audit(
    *,
    config: ConfigFile = None,
    store: Store = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compute every row, receipt, file and the chain once more; reads it all."),
    ] = False,
    json: Json = False,
) -> None:
    """Say whether the books balance: what the kernel counted, what was accounted, what is lost, and why.

    Exit code 3: an interval is lossy or interrupted. Exit code 4: something was changed or is damaged.
    """
    from netledger.errors import DamageError
    from netledger.ledger.reader import Reader
    from netledger.receipt import Balance, Status

    reader = Reader(Path(load_config(config, store).store))
    try:
        intervals = reader.snapshot().intervals
        problems = _verified(reader) if verify else None
    except DamageError as error:
        # So much is wrong that there is no list of intervals to speak of.
        typer.echo(f"netledger: {error}", err=True)
        raise typer.Exit(_EXIT_TAMPERED) from error
    balance = Balance.of(intervals)
    if json:
        shape: dict[str, object] = {"balance": balance.to_json(), "intervals": [_as_json(one) for one in intervals]}
        if problems is not None:
            shape["problems"] = [{"what": problem.what, "why": problem.why} for problem in problems]
        typer.echo(json_text.dumps(shape, ensure_ascii=False, indent=2))
    else:
        _print(balance, intervals, problems)
    if problems:
        raise typer.Exit(_EXIT_TAMPERED)
    if balance.statuses.get(Status.LOSSY, 0) or balance.statuses.get(Status.INTERRUPTED, 0):
        raise typer.Exit(_EXIT_INCOMPLETE)


def _verified(reader: "Reader") -> "list[Problem]":
    from netledger.ledger.verify import verify

    return verify(reader)


def _as_json(interval: "IntervalRow") -> dict[str, object]:
    from netledger.receipt import rfc3339

    kernel = interval.kernel
    return {
        "node": interval.node,
        "meter": interval.meter,
        "seq": interval.seq,
        "interval_start": rfc3339(interval.start_ns),
        "interval_end": rfc3339(interval.end_ns),
        "status": str(interval.status),
        "kernel_packets": None if kernel is None else kernel.packets,
        "kernel_bytes": None if kernel is None else kernel.bytes,
        "accounted_packets": interval.accounted.packets,
        "accounted_bytes": interval.accounted.bytes,
        "lost_packets": interval.lost.packets,
        "lost_bytes": interval.lost.bytes,
        "other_packets": interval.other.packets,
        "other_bytes": interval.other.bytes,
        "rows": interval.rows,
        "reason": interval.reason,
    }


def _print(balance: "Balance", intervals: "Sequence[IntervalRow]", problems: "Sequence[Problem] | None") -> None:
    from netledger.receipt import Status, rfc3339

    for one in intervals:
        if one.status is not Status.EXACT:
            typer.echo(
                f"{one.status:<11} {one.node} {one.meter} {one.seq}  {rfc3339(one.start_ns)} to {rfc3339(one.end_ns)}"
                f"  lost {one.lost.packets:,} packets, {one.lost.bytes:,} bytes"
                + (f"  {one.reason}" * bool(one.reason))
            )
    counts = ", ".join(f"{number} {status}" for status in Status if (number := balance.statuses.get(status, 0)))
    typer.echo(f"intervals   {len(intervals)}{f': {counts}' if counts else ''}")
    if balance.kernel is not None:
        typer.echo(f"kernel      {balance.kernel.packets:>20,} packets {balance.kernel.bytes:>26,} bytes")
    typer.echo(f"accounted   {balance.accounted.packets:>20,} packets {balance.accounted.bytes:>26,} bytes")
    typer.echo(f"lost        {balance.lost.packets:>20,} packets {balance.lost.bytes:>26,} bytes")
    for problem in problems or ():
        typer.echo(f"not what was committed: {problem}")
    if problems is not None and not problems:
        ends: dict[str, IntervalRow] = {}
        for one in intervals:
            if one.node not in ends or ends[one.node].position < one.position:
                ends[one.node] = one
        for node, last in sorted(ends.items()):
            typer.echo(f"verified    {node}: {last.position} intervals, chain ends with {last.chain.hex()}")
