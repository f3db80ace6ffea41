"""Parameters of what is recorded of the energy of trainings."""

from __future__ import annotations

from pydantic import Field

from allears.params.base import Params


class CostParams(Params):
    """Where the electricity comes from. It changes no result, so it is part of no step's identity."""

    country: str | None = Field(
        default=None, description="of the machine that trains: ISO 3166, three letters; null: the world average"
    )
