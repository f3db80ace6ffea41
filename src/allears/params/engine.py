"""Parameters of the engine that maps over clips, files and shards."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from allears.params.base import Params

_ADDRESS = re.compile(r"auto|[^/\s]+:\d+")


class EngineParams(Params):
    """Where the work of all steps is done. What comes out is the same bytes, so this is part of no step's identity.

    `workers`: of each step that names no number itself; None: one a core (of the cluster's, with Ray).
    """

    kind: Literal["processes", "ray"] = "processes"
    address: str | None = None
    workers: int | None = Field(default=None, ge=1)

    @field_validator("address")
    @classmethod
    def _is_a_cluster(cls, address: str | None) -> str | None:
        if address is None or _ADDRESS.fullmatch(address):
            return address
        message = (
            f"engine.address: expected HOST:PORT as `ray start --head` prints it, auto or null, found '{address}'; a "
            "ray:// address is of no use: type the command on a machine that belongs to the cluster"
        )
        raise ValueError(message)
