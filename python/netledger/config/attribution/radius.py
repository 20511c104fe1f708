"""Accounting of access servers, by RADIUS."""

from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from netledger.config.part import Part
from netledger.config.values import Duration, Endpoint, File, Network, refuse


@final
class RadiusClient(Part):
    """Access servers and the secret that they share with this program, `[[attribution.NAME.clients]]`."""

    network: Network = Field(description='Where they are, as in `"192.0.2.0/24"`; the longest one that fits counts.')
    secret_file: File = Field(
        description="The file whose first line is the secret; nobody but its owner and group may use it."
    )


@final
class Radius(Part):
    """RADIUS accounting: access servers tell when a session begins and ends, see [radius](attribution.md#radius)."""

    source: Literal["radius"] = Field(description="The kind of source.")
    listen: Endpoint = Field(
        default="127.0.0.1:1813",
        description='Address and port to listen at; `"[::]:1813"` is every address of this machine, IPv4 included.',
    )
    secret_file: File | None = Field(
        default=None,
        description="The file whose first line is the secret of everybody who is in none of `clients`; without it, "
        "nobody else gets an answer.",
    )
    clients: Annotated[tuple[RadiusClient, ...], Field(strict=False)] = Field(
        default=(), description="Access servers that have secrets of their own."
    )
    stale_after_seconds: Duration = Field(
        alias="stale_after",
        default=3600,
        json_schema_extra={"default": "1h"},
        description="How long nothing may be heard of a session whose access server sends interim updates; then it has "
        "ended with its last one. Some times longer than they are apart.",
    )

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.secret_file is None and not self.clients:
            refuse("there is no secret, so nobody could tell anything", "set secret_file, or clients with theirs")
        networks = [client.network for client in self.clients]
        twice = next((network for network in networks if networks.count(network) > 1), None)
        if twice is not None:
            refuse(f'two clients have the network "{twice}"', "each network has one secret")
        return self
