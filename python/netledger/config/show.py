"""The effective configuration as text: what was set, and every default. Reading it again gives the same."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from netledger.config import durations
from netledger.config.across import OF_ADDRESSES, SOURCE_TABLES
from netledger.config.model import GO_NFLOG_ACCTD, Config
from netledger.config.toml import key_to_toml, value_to_toml

_OF_TABLES: Final = {("meters",), ("exports",), ("attribution",)}


def to_toml(config: Config) -> str:
    """As TOML."""
    return "\n".join(_table((), _document(config))) + "\n"


def to_json(config: Config) -> str:
    """As one JSON object of the same shape."""
    return json.dumps(_document(config), ensure_ascii=False, indent=2) + "\n"


def _document(config: Config) -> dict[str, object]:
    document = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    for export in document["exports"].values():
        if export["format"] != GO_NFLOG_ACCTD:
            del export[GO_NFLOG_ACCTD]
    for table in (document, *document["meters"].values()):
        table["interval"] = durations.render(table["interval"])
    for key, days in document["ledger"].items():
        document["ledger"][key] = durations.render(days * durations.DAY_SECONDS)
    for name, meter in document["meters"].items():
        mechanisms: tuple[str, ...] = config.meters[name].mechanisms
        for key in (*SOURCE_TABLES, *(OF_ADDRESSES if "nfacct" in mechanisms else ())):
            if key not in mechanisms:
                del meter[key]  # it has no effect, and is refused
        if "nflog" in meter and meter["nflog"]["groups"]:
            # Rules of one's own: these two are for netledger's, and are refused beside groups.
            del meter["nflog"]["table"], meter["nflog"]["hooks"]
        if "bpf" in meter and meter["bpf"]["attach"] == "tcx":
            del meter["bpf"]["hooks"]  # refused beside it
    return document


def _table(path: tuple[str, ...], table: Mapping[str, object]) -> Iterator[str]:
    """Plain keys first, then the tables: a key behind a table's header would belong to that one."""
    if path and (path not in _OF_TABLES or not table):
        yield f"\n[{'.'.join(key_to_toml(part) for part in path)}]"
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping) and key != "prefix_length"}
    for key, value in table.items():
        if key not in inner:
            yield f"{key_to_toml(key)} = {value_to_toml(value)}"
    for key, value in inner.items():
        yield from _table((*path, key), value)
