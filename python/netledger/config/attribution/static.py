"""Assignments that people write into a file."""

from typing import Literal, final

from pydantic import Field

from netledger.config.part import Part
from netledger.config.values import File


@final
class Static(Part):
    """A file of your own that says what is whose; see [static](attribution.md#static)."""

    source: Literal["static"] = Field(description="The kind of source.")
    path: File = Field(
        description="The file: CSV with the columns target, subject, from and to, or TOML where its name ends so."
    )
