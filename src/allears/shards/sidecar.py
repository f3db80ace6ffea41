"""Frame labels of clips, beside the shards: one file a tar, keyed by the clip's audio and by who labelled it.

Arrow streams, mapped into memory, each with its own sha256 behind it: Arrow does not check what it reads, and a flipped
bit in its lengths can end the process. Free of pandas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from allears.errors import StaleError, StorageError
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.storage.files import atomic_path

_SUFFIX = ".labels.arrow"
_LABELLER = b"allears.labeller"
_SUM = 64  # bytes at the end
Labels = NDArray[np.int32]


def write_labels(folder: Path, digest: str, shard: str, labels: Mapping[str, Labels], index: Index) -> None:
    """The labels of the clips of tar `shard`: clip → int32 [F]. `digest` names the model that gave them."""
    clips = list(labels)
    columns = {
        "clip": pa.array(clips, pa.string()),
        "pcm_sha256": pa.array([index.pcm_sha256[index.position[clip]] for clip in clips], pa.string()),
        "labels": pa.array([np.asarray(labels[clip], dtype=np.int32) for clip in clips], pa.large_list(pa.int32())),
    }
    table = pa.table(columns).replace_schema_metadata({_LABELLER: digest.encode()})
    _write(_path(folder, shard), table)


def forget_labels(folder: Path, clips: Container[str]) -> None:
    """Take the labels of `clips` out of every file of a labeller's folder."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            table = _read(path)
        except StorageError:  # of no use to anybody: it is made again
            path.unlink(missing_ok=True)
            continue
        kept = [clip not in clips for clip in table["clip"].to_pylist()]
        if not all(kept):
            _write(path, table.filter(pa.array(kept)))


def move_labels(folder: Path, shard_set: ShardSet) -> None:
    """Let the labels of a labeller's folder follow clips that lie in another tar now (a repack merges tars).

    The file of a tar that is no more goes last, so that a killed move is done again. The journal forgets the tars that
    have got labels: what it counted was of fewer clips.
    """
    gone = [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if not (shard_set.folder / _shard(path)).exists()]
    if not gone:
        return
    from allears.engine.mapping import forget  # a training, which reads labels, does without what it needs

    index = read_index(shard_set)
    moving: list[tuple[str, pa.Table]] = []
    for path in gone:
        try:
            table = _read(path)
        except StorageError:  # of no use to anybody: it is made again
            continue
        places = [index.position.get(clip) for clip in table["clip"].to_pylist()]
        targets = [None if place is None else index.shards[int(index.shard_N[place])] for place in places]
        for shard, rows in groupby(range(len(targets)), key=lambda row: targets[row]):
            if shard is not None:
                moving.append((shard, table.take(list(rows))))
    for shard in sorted({shard for shard, _ in moving}):
        _add_rows(_path(folder, shard), [table for target, table in moving if target == shard], index)
    for journal in folder.glob("*.jsonl"):
        forget(journal, {shard for shard, _ in moving} | {_shard(path) for path in gone})
    for path in gone:
        path.unlink()


def _add_rows(path: Path, tables: list[pa.Table], index: Index) -> None:
    """Rows of the same labeller beside those that are there, each clip once, in the order of the index."""
    try:
        there = [_read(path)]
    except StorageError:
        there = []
    schema = tables[0].schema
    table = pa.concat_tables([one for one in (*there, *tables) if one.schema.equals(schema, check_metadata=True)])
    row_of = {clip: row for row, clip in enumerate(table["clip"].to_pylist()) if clip in index.position}
    _write(path, table.take([row_of[clip] for clip in sorted(row_of, key=lambda clip: index.position[clip])]))


def is_labelled(folder: Path, digest: str, index: Index, wanted_n: NDArray[np.bool_]) -> bool:
    """Whether the labels of the wanted clips [n] of a tar are there, by this labeller and of this very audio.

    `index` is that of the tar alone.
    """
    try:
        table = _open(_path(folder, index.shards[0]), digest)
    except (StorageError, StaleError):
        return False
    pcm = dict(zip(table["clip"].to_pylist(), table["pcm_sha256"].to_pylist(), strict=True))
    places = np.flatnonzero(wanted_n).tolist()
    return all(pcm.get(index.clips[place]) == index.pcm_sha256[place] for place in places)


class Sidecar:
    """Labels of the clips of `index` by the labeller `digest`. A file is opened when one of its clips is asked for."""

    def __init__(self, folder: Path, digest: str, index: Index) -> None:
        self.folder, self.digest, self.index = folder, digest, index
        self._shards: dict[int, dict[str, Labels]] = {}

    def get(self, clip: str) -> Labels:
        """Labels of the whole clip, int32 [F].

        Raises StorageError when they are missing, StaleError when they are of other audio or by another labeller.
        """
        shard = int(self.index.shard_N[self.index.position[clip]])
        if shard not in self._shards:
            self._shards[shard] = self._load(self.index.shards[shard])
        if clip not in self._shards[shard]:
            raise StorageError(
                f"{_path(self.folder, self.index.shards[shard])} has no labels of clip {clip}: the labelling pass did "
                "not see it; delete the file and run the pretrain pipeline again"
            )
        return self._shards[shard][clip]

    def _load(self, shard: str) -> dict[str, Labels]:
        path = _path(self.folder, shard)
        table = _open(path, self.digest)
        found: dict[str, Labels] = {}
        for batch in table.to_batches():
            ends, values = batch["labels"].offsets.to_numpy(), batch["labels"].values.to_numpy()
            for row, (clip, pcm) in enumerate(
                zip(batch["clip"].to_pylist(), batch["pcm_sha256"].to_pylist(), strict=True)
            ):
                place = self.index.position.get(clip)
                if place is not None and self.index.pcm_sha256[place] != pcm:
                    raise StaleError(
                        f"{path}: the labels of clip {clip} are of audio {pcm[:12]}, the shards hold "
                        f"{self.index.pcm_sha256[place][:12]}: the shards were written again since; delete the file "
                        "and run the pretrain pipeline again"
                    )
                found[clip] = values[ends[row] : ends[row + 1]]
        return found


def _open(path: Path, digest: str) -> pa.Table:
    table = _read(path)
    found = (table.schema.metadata or {}).get(_LABELLER, b"").decode()
    if found != digest:
        raise StaleError(
            f"{path}: expected labels by {digest[:12]}, found labels by {found[:12] or 'nobody'}: the unit model was "
            "fitted again since; delete the file and run the pretrain pipeline again"
        )
    return table


def _read(path: Path) -> pa.Table:
    """What `_write` was given. StorageError when it is not there, or holds anything else."""
    try:
        buffer = pa.memory_map(str(path)).read_buffer()
    except FileNotFoundError:
        raise StorageError(f"{path}: labels are missing; run the pretrain pipeline again") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error}); delete it and run the pretrain pipeline") from error
    stream, said = buffer[:-_SUM], bytes(buffer[-_SUM:])
    if hashlib.sha256(stream).hexdigest().encode() != said:
        raise StorageError(
            f"{path}: these are not the labels that were written (their sha256 is another): the file was changed, the "
            "disk is failing, or it is of an earlier allears; run the pretrain pipeline again, which labels anew"
        )
    return pa.ipc.open_stream(stream).read_all()


def _write(path: Path, table: pa.Table) -> None:
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    data = stream.getvalue()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.write(hashlib.sha256(data).hexdigest().encode())


def _shard(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX) + ".tar"


def _path(folder: Path, shard: str) -> Path:
    return folder / f"{shard.removesuffix('.tar')}{_SUFFIX}"
