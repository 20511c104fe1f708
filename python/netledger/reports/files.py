"""Rows as CSV, JSON and Parquet, for programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from netledger.exports.files import write_atomically
from netledger.reports.rows import Rows


def write_csv(rows: Rows, file: BinaryIO) -> None:
    """Writes a header line and a line for each row; integers plain, what is not there empty."""
    from pyarrow import csv

    file.write((",".join(rows.names) + "\n").encode())
    # Nothing in a row can need quotes: numbers, addresses, times and the names of accounts.
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    for part in rows.as_text():
        csv.write_csv(part, file, options)


def write_json(rows: Rows, about: Mapping[str, object], file: BinaryIO) -> None:
    """Writes one object: what ``about`` holds, and ``rows``, one to a line."""
    head = json.dumps(dict(about), ensure_ascii=False)
    file.write(f'{head[:-1]}, "rows": ['.encode())
    separator = "\n"
    for part in rows.as_text():
        lines = [json.dumps(row) for row in part.to_pylist()]
        file.write((separator + ",\n".join(lines)).encode())
        separator = ",\n"
    file.write(b"\n]}\n")


def write_parquet(rows: Rows, about: Mapping[str, object], path: Path) -> None:
    """Writes a Parquet file, whole or not at all; what ``about`` holds is in its metadata under ``netledger``, as JSON.

    Raises:
        ExportError: the disk is full, broken or refuses.
    """
    from pyarrow import parquet

    table = rows.as_values()
    table = table.replace_schema_metadata({"netledger": json.dumps(dict(about), ensure_ascii=False)})
    write_atomically(path, lambda file: parquet.write_table(table, file, compression="zstd"))
