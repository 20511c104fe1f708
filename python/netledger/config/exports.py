"""Mistakes of exports that no single value shows: two in one directory, a meter that is not there.

Works on the parsed text, as :mod:`netledger.config.across` does.
"""

from collections.abc import Iterator, Mapping, Sequence

from netledger.config.model import GO_NFLOG_ACCTD, Config
from netledger.config.problems import Path, dotted
from netledger.config.toml import table, value_to_toml

Found = tuple[Path, str, str | None]


def check(document: Mapping[str, object]) -> Iterator[Found]:
    """The mistakes, each as path, cause and hint."""
    meters = table(document.get("meters")) or dict.fromkeys(Config().meters)
    owners: dict[str, Path] = {}
    for name, export in table(document.get("exports")).items():
        settings, path = table(export), ("exports", name)
        yield from _directory(path, settings, owners)
        yield from _meters(path, settings, meters)
        if settings.get("format") == GO_NFLOG_ACCTD:
            yield from _one_meter(path, settings, meters)
        elif GO_NFLOG_ACCTD in settings:
            hint = f'it is for format = "{GO_NFLOG_ACCTD}"'
            yield (*path, GO_NFLOG_ACCTD), "has no effect on this format", hint


def _directory(path: Path, settings: Mapping[str, object], owners: dict[str, Path]) -> Iterator[Found]:
    directory = settings.get("directory")
    if isinstance(directory, str):
        owner = owners.setdefault(directory.rstrip("/"), path)
        if owner != path:
            yield (*path, "directory"), f"it is taken by {dotted(owner)}", "each export has a directory of its own"


def _meters(path: Path, settings: Mapping[str, object], meters: Mapping[str, object]) -> Iterator[Found]:
    for position, name in enumerate(_names(settings)):
        if name not in meters:
            known = ", ".join(value_to_toml(one) for one in meters)
            yield (*path, "meters", position), f"there is no meter {value_to_toml(name)}", f"there is {known}"


def _one_meter(path: Path, settings: Mapping[str, object], meters: Mapping[str, object]) -> Iterator[Found]:
    names = _names(settings)
    if len(names) != 1:
        hint = f"as in meters = [{value_to_toml(next(iter(meters)))}]"
        yield (*path, "meters"), f'format "{GO_NFLOG_ACCTD}" takes exactly one meter', hint
        return
    key = table(meters.get(names[0])).get("key")
    if isinstance(key, list) and "host" not in key:
        hint = f'add "host" to meters.{names[0]}.key'
        yield (*path, "meters"), f'format "{GO_NFLOG_ACCTD}" has a line for each host, and this meter has none', hint


def _names(settings: Mapping[str, object]) -> Sequence[str]:
    names = settings.get("meters")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
