"""What only the source nfacct has: `[meters.NAME.nfacct]`."""

from typing import Annotated, Final, final

from pydantic import AfterValidator, Field

from netledger.config.part import Part
from netledger.config.toml import value_to_toml
from netledger.config.values import refuse, unique

_NFT_WORDS: Final = 3
NAME_BYTES_MAX: Final = 31
"""As ``netledger.nfacct`` has it; that would load the native core, which a report does without."""


def _pattern(text: str) -> str:
    if not text:
        refuse("an empty pattern stands for nothing", '"*" stands for all objects')
    return text


def _nft_pattern(text: str) -> str:
    words = text.split(" ")
    if text != "*" and (len(words) != _NFT_WORDS or not all(words)):
        refuse(
            f"{value_to_toml(text)} is no counter of nftables",
            'family, table and name, each may be a pattern: "inet filter web*", or "*" for all',
        )
    return text


def _object(text: str) -> str:
    size = len(text.encode())
    if not text or not text.isprintable() or "\\" in text:
        refuse(f"{value_to_toml(text)} is no name for an object", 'as in "http-traffic"')
    if size > NAME_BYTES_MAX:
        refuse(f"{value_to_toml(text)} has {size} bytes", f"names of objects have at most {NAME_BYTES_MAX}")
    return text


@final
class Nfacct(Part):
    """What only the source nfacct has, `[meters.NAME.nfacct]`; see [counters](counters.md)."""

    objects: Annotated[
        tuple[Annotated[str, AfterValidator(_pattern)], ...], Field(strict=False), AfterValidator(unique)
    ] = Field(
        default=("*",),
        description="Which objects of nfacct are counted, as patterns: `*` stands for any text, `?` for one character. "
        "Default: all; an empty list: none.",
    )
    ensure: Annotated[
        tuple[Annotated[str, AfterValidator(_object)], ...], Field(strict=False), AfterValidator(unique)
    ] = Field(
        default=(),
        description="Objects of nfacct that are made when they are not there, also at boot, before rules are loaded "
        "that need them. They are counted whatever the patterns say.",
    )
    nft: Annotated[
        tuple[Annotated[str, AfterValidator(_nft_pattern)], ...], Field(strict=False), AfterValidator(unique)
    ] = Field(
        default=(),
        description='Which named counters of nftables are counted, as patterns of family, table and name: `"inet '
        'filter *"`.',
    )
