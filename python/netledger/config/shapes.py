"""What was meant by a value of the wrong shape: a number where a table belongs, say."""

from typing import Final

from netledger.config.problems import Path, dotted

_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128
_IPV6_USUAL_BITS: Final = 64
_GROUP_USUAL: Final = 4
_GROUP_MAX: Final = 65_535


def hint(path: Path, found: object) -> str | None:
    """How to write what was meant, so that the file is accepted when it is written so; None where nothing is known."""
    match path:
        case ("meters", _, "prefix_length"):
            return _prefix_length(found)
        case ("meters", _, "nflog", "groups", *_):
            return _group(path[:4], found)
        case _:
            return None


def _prefix_length(found: object) -> str:
    ipv4 = found if _is_number_to(_IPV4_BITS, found) else _IPV4_BITS
    ipv6 = found if ipv4 is not found and _is_number_to(_IPV6_BITS, found) else _IPV6_USUAL_BITS
    return f"as in {{ ipv4 = {ipv4}, ipv6 = {ipv6} }}"


def _group(path: Path, found: object) -> str:
    inner = found.get("group") if isinstance(found, dict) else found
    group = f"group = {inner if _is_number_to(_GROUP_MAX, inner) else _GROUP_USUAL}"
    account = 'account = "destination"'
    return f"as in [[{dotted(path)}]] with {group} and {account}, or in one line: groups = [{{ {group}, {account} }}]"


def _is_number_to(highest: int, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest
