"""The sidecar index: where each clip lies. Columns as arrays, so a million clips cost megabytes, not objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allears.errors import StaleError, StorageError
from allears.shards.handle import ShardSet
from allears.storage.files import storage_error

SCHEMA = pa.schema(
    {
        "clip": pa.string(),
        "shard": pa.string(),  # file name
        "offset": pa.int64(),  # of the FLAC bytes in the tar
        "length": pa.int64(),
        "samples": pa.int64(),
        "sample_rate_hz": pa.int64(),
        "sha256": pa.string(),  # of the FLAC bytes
        "pcm_sha256": pa.string(),  # of the 16-bit samples
    }
)


@dataclass(frozen=True)
class Index:
    """One entry a clip, in tar order. `shard_N` points into `shards`; offsets and lengths are bytes."""

    clips: tuple[str, ...]
    shards: tuple[str, ...]
    shard_N: NDArray[np.int32]
    offset_N: NDArray[np.int64]
    length_N: NDArray[np.int64]
    samples_N: NDArray[np.int64]
    sha256: tuple[str, ...]
    pcm_sha256: tuple[str, ...]

    @cached_property
    def position(self) -> dict[str, int]:
        """Clip → its place in the arrays."""
        return {clip: place for place, clip in enumerate(self.clips)}


def read_index(shard_set: ShardSet) -> Index:
    """The index of `shard_set`; StaleError when it is not the one that the handle was made for."""
    path = shard_set.index_path
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except OSError as error:
        raise storage_error(path, error) from error
    except pa.ArrowException as error:
        raise StorageError(
            f"{path} cannot be read ({error}); delete it and run `kedro run --pipeline shard`"
        ) from error
    if table.num_rows != shard_set.clips:
        raise StaleError(
            f"{path} lists {table.num_rows} clips, the shard set {shard_set.digest[:12]} has {shard_set.clips}: "
            "the shards were rewritten since; run `kedro run --pipeline shard` again"
        )
    column = table["shard"].combine_chunks().dictionary_encode()
    return Index(
        clips=tuple(table["clip"].to_pylist()),
        shards=tuple(column.dictionary.to_pylist()),
        shard_N=column.indices.to_numpy().astype(np.int32),
        offset_N=table["offset"].to_numpy(),
        length_N=table["length"].to_numpy(),
        samples_N=table["samples"].to_numpy(),
        sha256=tuple(table["sha256"].to_pylist()),
        pcm_sha256=tuple(table["pcm_sha256"].to_pylist()),
    )
