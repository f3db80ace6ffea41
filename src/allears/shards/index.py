"""The sidecar index: where each clip lies. Columns as arrays, so a million clips cost megabytes, not objects."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allears.errors import StaleError, StorageError
from allears.shards.handle import INDEX, ShardSet
from allears.shards.strings import Digests, Strings
from allears.storage.files import atomic_path, storage_error

DIGEST = b"allears.digest"  # where the parquet file itself names the version that it belongs to
ROWS = b"allears.rows"  # and all that stands in it: a flipped bit of a parquet file is often read as something else

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
_Column = Strings | Digests | tuple[str, ...] | NDArray[np.integer[Any]]
PART_SCHEMA = SCHEMA.append(pa.field("rest_crc32", pa.int64()))  # of the clip's bytes beside the FLAC; may be unknown


@dataclass(frozen=True)
class Index:
    """One entry a clip, in tar order. `shard_N` points into `shards`; offsets and lengths are bytes."""

    clips: Strings
    shards: tuple[str, ...]
    shard_N: NDArray[np.int32]
    offset_N: NDArray[np.int64]
    length_N: NDArray[np.int64]
    samples_N: NDArray[np.int64]
    sha256: Digests
    pcm_sha256: Digests

    @property
    def first_shards(self) -> tuple[int, ...]:
        """The number of each corpus's first tar, as in `corpora.Joined`: here it is one corpus."""
        return (0,)

    @property
    def position(self) -> Mapping[str, int]:
        """Clip → its place in the arrays."""
        return self.clips.places

    @cached_property
    def audio_digest(self) -> str:
        """Names clips, order and samples, in whatever tars they lie: the same before and after tars are merged."""
        digest = hashlib.sha256()
        _add_lines(digest, itertools.chain(self.clips, self.pcm_sha256))
        return digest.hexdigest()

    def places_of(self, shard: int) -> NDArray[np.int64]:
        """The places of the clips of tar `shard` (its place in `shards`), in its order."""
        rows = self._rows(shard)
        return np.arange(rows.start, rows.stop)

    def of_tar(self, shard: int) -> Index:
        """The index of tar `shard` alone, a view of this one: what a worker that reads one tar needs."""
        rows = self._rows(shard)
        return Index(
            clips=self.clips[rows], shards=(self.shards[shard],), shard_N=np.zeros(rows.stop - rows.start, np.int32),
            offset_N=self.offset_N[rows], length_N=self.length_N[rows], samples_N=self.samples_N[rows],
            sha256=self.sha256[rows], pcm_sha256=self.pcm_sha256[rows],
        )  # fmt: skip

    def _rows(self, shard: int) -> slice:
        first, last = np.searchsorted(self.shard_N, [shard, shard + 1]).tolist()  # tars come one after the other
        return slice(first, last)


def read_index(shard_set: ShardSet) -> Index:
    """The index of `shard_set`; StaleError when it is not the one that the handle was made for, StorageError when it is
    damaged.
    """
    path = shard_set.index_path
    try:
        with pq.ParquetFile(path) as file:
            return _checked(file, shard_set)
    except (OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise storage_error(path, error) from error
        raise StorageError(
            f"{path} cannot be read ({error}): the file was changed or the disk is failing; delete it and run "
            "`kedro run --pipeline shard`, which makes it again and no tar"
        ) from error


def _checked(file: pq.ParquetFile, shard_set: ShardSet) -> Index:
    """The rows, if they are those that were written; ValueError when they are not. An index of an earlier allears does
    not say what its rows are.
    """
    notes = file.schema_arrow.metadata or {}
    found = notes.get(DIGEST, b"").decode(errors="replace")
    if found != shard_set.digest:
        raise StaleError(
            f"{shard_set.index_path} is the index of shards {found[:12] or 'without a version'} "
            f"({file.metadata.num_rows} clips), expected {shard_set.digest[:12]} ({shard_set.clips} clips): the shards "
            "were rewritten since; run `kedro run --pipeline shard`, then this command again"
        )
    if not file.schema_arrow.equals(SCHEMA):
        raise ValueError("its columns are not those of an index")
    columns: dict[str, Any] = dict(_columns(lambda name: file.read(columns=[name])[name]))
    if notes.get(ROWS) not in (None, _rows_digest(columns.values())):
        raise ValueError("its rows are not those that were written")
    return Index(**columns)


def write_part(path: Path, rows: list[dict[str, Any]], notes: dict[str, str] | None = None) -> None:
    """The index rows of one tar, written once the tar is; `notes` say what it was made of."""
    table = pa.Table.from_pylist(rows, schema=PART_SCHEMA.with_metadata(notes or {}))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_part(path: Path) -> list[dict[str, Any]] | None:
    """The index rows of one tar, in its order; None when there is no readable part."""
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, schema=PART_SCHEMA).to_pylist()
    except (OSError, pa.ArrowException):
        return None
    return rows


def read_notes(path: Path) -> dict[str, str]:
    """The notes of an index part; empty when there is no readable one."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}
    return {key.decode(): value.decode() for key, value in metadata.items() if key != b"ARROW:schema"}


def join_parts(folder: Path, parts: Iterable[Path]) -> ShardSet:
    """The index of the tars in `folder` from their parts, in order, and the handle that names this version.

    The digest is of clips, order and audio; offsets are not in it, as they move with the length of a text in the tar.
    """
    tables = [pq.read_table(part, schema=SCHEMA) for part in parts]
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    digest = hashlib.sha256()
    for name in ("clip", "shard", "sha256"):
        _add_lines(digest, itertools.chain([name], Strings.of(table[name])))
    for name in ("samples", "sample_rate_hz"):
        digest.update(np.ascontiguousarray(table[name].to_numpy()).tobytes())
    version = digest.hexdigest()
    notes = {DIGEST: version.encode(), ROWS: _rows_digest(values for _, values in _columns(table.__getitem__))}
    with atomic_path(folder / INDEX) as temporary:
        pq.write_table(table.replace_schema_metadata(notes), temporary, compression="zstd")
    seconds = float((table["samples"].to_numpy() / table["sample_rate_hz"].to_numpy()).sum())
    rates = sorted(set(table["sample_rate_hz"].to_pylist()))
    if len(rates) != 1:
        raise StorageError(
            f"{folder}: expected shards of one sample rate, found {rates or 'no clip'}; write them again"
        )
    return ShardSet(folder, version, table.num_rows, seconds, rates[0])


def _add_lines(digest: hashlib._Hash, lines: Iterator[str]) -> None:
    """What joining all of them by line feeds would add, without that."""
    between = ""
    while some := list(itertools.islice(lines, 1 << 16)):
        digest.update((between + "\n".join(some)).encode())
        between = "\n"


def _columns(column: Callable[[str], pa.ChunkedArray]) -> Iterator[tuple[str, _Column]]:
    """The fields of the index, one after the other, so that their strings never lie in memory together."""
    yield "clips", Strings.of(column("clip"))
    shards = column("shard").combine_chunks().dictionary_encode()
    yield "shards", tuple(shards.dictionary.to_pylist())
    yield "shard_N", shards.indices.to_numpy().astype(np.int32)
    for name in ("offset", "length", "samples"):
        yield f"{name}_N", column(name).to_numpy()
    for name in ("sha256", "pcm_sha256"):
        yield name, Digests.of(column(name))


def _rows_digest(columns: Iterable[_Column]) -> bytes:
    digest = hashlib.sha256()
    for values in columns:
        match values:
            case Strings():
                digest.update(values.values_N.data)
            case Digests():
                digest.update(values.bytes_N32.data)
            case tuple():
                digest.update("\n".join(values).encode())
            case _:
                digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest().encode()
