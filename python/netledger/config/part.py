"""What all tables of the configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """One table of the file: unknown keys are refused, nothing is converted, and it never changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
