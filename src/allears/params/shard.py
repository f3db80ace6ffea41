"""Parameters of `shard`."""

from __future__ import annotations

from pydantic import Field

from allears.params.base import Params


class ShardParams(Params):
    """`shard`: from recordings to tars of FLAC. Changing any of the first three writes the shards anew."""

    sample_rate_hz: int = Field(default=16_000, ge=8_000, le=48_000)
    target_mb: float = Field(default=256.0, gt=0.0, le=4096.0)
    min_shards: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=3600.0, gt=0.0)
    workers: int | None = Field(default=None, ge=1)
