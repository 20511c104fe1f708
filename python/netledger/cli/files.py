"""``netledger files``: the Parquet files that count, for other programs."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from pathlib import Path
from typing import Annotated

import typer

from netledger.cli.options import ConfigFile, Json, Store, readable_config


def files(
    *,
    config: ConfigFile = None,
    store: Store = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print them as what stands behind FROM in DuckDB's SQL.")] = False,
    json: Json = False,
) -> None:
    """Print the Parquet files that hold each row once, at this moment; one in a line.

    Ask again before each question, and never take all files of a directory: for some time a compacted day lies beside
    the files that it was made of. The files printed stay for a quarter of an hour at least.
    """
    import json as json_text

    from netledger.errors import UsageError
    from netledger.ledger.reader import Reader, read_parquet

    if sql and json:
        raise UsageError("--sql, --json", "", "only one of them at a time")
    found = Reader(Path(readable_config(config, store, needed=("store",)).config.store)).snapshot().files
    if sql:
        typer.echo(read_parquet(found))
    elif json:
        typer.echo(json_text.dumps([str(path) for path in found], ensure_ascii=False, indent=2))
    else:
        for path in found:
            typer.echo(path)
