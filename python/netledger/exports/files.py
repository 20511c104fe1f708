"""Durable files of exports and reports: what the system refuses is an error of the export."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from netledger import durable
from netledger.errors import ExportError


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], *, at_step: durable.Step = durable.no_step
) -> None:
    """As :func:`netledger.durable.write_whole`: the file is as it was before, or whole and durable.

    Raises:
        ExportError: the disk is full, broken or refuses; nothing is left behind.
    """
    try:
        durable.write_whole(path, write, at_step=at_step)
    except OSError as error:
        raise export_error(path, "write", error) from error


def remove_leftovers(directory: Path) -> list[Path]:
    """Removes temporary files whose writer is dead, and says which; one that is being written stays.

    Raises:
        ExportError: the directory cannot be read or changed. That it is not there is no error.
    """
    try:
        return durable.remove_unfinished(directory)
    except OSError as error:
        raise export_error(directory, "remove leftovers", error) from error


def export_error(path: Path, operation: str, error: OSError) -> ExportError:
    """What the system said, as an error of an export."""
    return ExportError(str(path), operation, durable.cause_of(error))
