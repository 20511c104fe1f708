"""Puts the files of the service where systemd looks for what an administrator installs."""

import os
import secrets
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

from netledger.errors import NetledgerError

UNIT: Final = PurePosixPath("/usr/local/lib/systemd/system/netledger.service")
COUNTERS_UNIT: Final = PurePosixPath("/usr/local/lib/systemd/system/netledger-counters.service")
USERS: Final = PurePosixPath("/usr/local/lib/sysusers.d/netledger.conf")
CONFIG: Final = PurePosixPath("/etc/netledger/netledger.toml")

_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755


class InstallError(NetledgerError):
    """A file of the service cannot be written."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of one file: ``written``, ``replaced``, ``unchanged`` or ``kept``."""

    path: Path
    done: str


def install(root: Path, *, program: Path) -> list[Installed]:
    """Writes units, user and configuration below ``root``; may be repeated.

    The units and the user are this version's: they replace what was there. A configuration that is there is kept,
    whatever it says. Each file is written whole or not at all.

    Args:
        root: stands for ``/``.
        program: what the units are to start; an absolute path.

    Raises:
        InstallError: a file cannot be written, or the program has a name that a unit cannot hold.
    """
    if not program.is_absolute() or any(mark in str(program) for mark in " \t\n\"'\\%$;"):
        raise InstallError(str(program), "install", "no path that a unit can hold", "install it under a plain name")
    units = ((UNIT, "netledger.service"), (COUNTERS_UNIT, "netledger-counters.service"))
    return [
        *(_write(_below(root, path), _unit(name, program), is_ours=True) for path, name in units),
        _write(_below(root, USERS), _text("netledger.sysusers"), is_ours=True),
        _write(_below(root, CONFIG), _text("netledger.toml"), is_ours=False),
    ]


def _unit(name: str, program: Path) -> str:
    return _text(name).replace("@PROGRAM@", str(program)).replace("@CONFIG@", str(CONFIG))


def _text(name: str) -> str:
    return (files("netledger.service") / name).read_text(encoding="utf-8")


def _below(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")


def _write(path: Path, text: str, *, is_ours: bool) -> Installed:
    try:
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
        if before is not None and (before == text or not is_ours):
            return Installed(path, "unchanged" if before == text else "kept")
        _make_directory(path.parent)
        _replace(path, text, is_ours=is_ours)
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) and os.geteuid() != 0 else None
        raise InstallError(
            str(error.filename or path), "write", (error.strerror or str(error)).lower(), hint
        ) from error
    return Installed(path, "written" if before is None else "replaced")


def _make_directory(directory: Path) -> None:
    if not directory.is_dir():
        _make_directory(directory.parent)
        # Whatever the umask is: systemd and every user are to read what lies there.
        directory.mkdir(exist_ok=True)
        directory.chmod(_DIRECTORY_MODE)


def _replace(path: Path, text: str, *, is_ours: bool) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  # a descriptor, which Path cannot open
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        if is_ours:
            temporary.replace(path)
        else:
            # Fails where another program has just made the file: that one is somebody's own.
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
