"""Peers of WireGuard."""

from typing import Annotated, Literal, final

from pydantic import AfterValidator, Field

from netledger.attribution.facts import given_subject
from netledger.config.part import Part
from netledger.config.toml import value_to_toml
from netledger.config.values import Duration, Interface, refuse, unique
from netledger.errors import FactError


def _subject(text: str) -> str:
    try:
        return given_subject(text)
    except FactError as error:
        refuse(f"{value_to_toml(text)}: {error.cause}", error.hint)


@final
class Wireguard(Part):
    """WireGuard: what is allowed to a peer is its user's, see [wireguard](attribution.md#wireguard)."""

    source: Literal["wireguard"] = Field(description="The kind of source.")
    interfaces: Annotated[tuple[Interface, ...], Field(strict=False), AfterValidator(unique)] = Field(
        default=(), description="Only peers of these interfaces; default: of all."
    )
    names: dict[str, Annotated[str, AfterValidator(_subject)]] = Field(
        default={}, description="Who has which public key; a peer that is not here is known by its key."
    )
    every_seconds: Duration = Field(
        alias="every",
        default=10,
        description="How often to look at the peers.",
        json_schema_extra={"default": "10s"},
    )
