"""Where a clip came from and where it went: source bytes → row → measures → verdict → shard → runs and models."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pandas as pd

from allears.checkpoints.trained import trained_on
from allears.corpus import versions
from allears.corpus.clips import Recording
from allears.corpus.left import read_left
from allears.corpus.mirror import addresses, problem
from allears.corpus.opening import opened
from allears.corpus.settings import known_corpora
from allears.errors import AllearsError, AudioError, CorpusError, nearest
from allears.params.base import Paths
from allears.params.corpus import SAMPLE
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.storage.bucket import is_url
from allears.storage.digest import file_digest
from allears.storage.files import read_json


def corpus_of(data: Path, clip: str) -> Paths:
    """The corpus that has the clip. CorpusError when none has it, or several have."""
    found, near, left = [], [], []
    for corpus in [SAMPLE, *known_corpora(data)]:
        paths = Paths(corpus=corpus, data=data)
        if (paths.intermediate / "manifest.json").exists():
            ids = versions.rows_of(paths, versions.current(paths), ["clip"])["clip"]
            found += [paths] if (ids == clip).any() else []
            near += [] if found else list(ids)
            left += [corpus] if clip in read_left(paths) else []
    if len(found) > 1:
        raise CorpusError(f"clip '{clip}' is in {', '.join(one.corpus for one in found)}: say which with --corpus")
    if not found and left:
        raise _gone(clip, left[0])
    if not found:
        raise CorpusError(f"no corpus of this project has a clip '{clip}'{nearest(clip, near)}")
    return found[0]


def trace_clip(paths: Paths, clip: str) -> dict[str, Any]:
    """All that is known of the clip by stage; JSON-like, None where a stage has not been. CorpusError without it.

    The source and the audio in the shard are read, and compared with the digests that were noted.
    """
    version = versions.current(paths)
    row = _row(versions.rows_of(paths, version), clip)
    if row is None and clip in read_left(paths):
        raise _gone(clip, paths.corpus)
    if row is None:
        ids = versions.rows_of(paths, version, ["clip"])["clip"]
        raise CorpusError(f"corpus '{paths.corpus}' has no clip '{clip}'{nearest(clip, ids)}")
    index, shard_set = _index(paths)
    shard = None if index is None or shard_set is None else _shard(index, shard_set, clip)
    splits = [(one, split) for one in versions.all_versions(paths) if (split := _split(paths, one, clip)) is not None]
    return {
        "clip": clip,
        "corpus": paths.corpus,
        "version": version.digest,
        "versions": [one.digest for one, _ in splits],
        "source": _source(row),
        "row": row,
        "measures": _row(_table(paths.primary / "measures.parquet"), clip),
        "verdict": _row(_table(paths.primary / "verdicts.parquet"), clip),
        "selection": _row(_table(paths.primary / "selection.parquet"), clip),
        "shard": shard,
        "trained": _trained(paths, shard, splits, is_train=row["split"] == "train"),
    }


def _gone(clip: str, corpus: str) -> CorpusError:
    return CorpusError(
        f"clip '{clip}' has left corpus '{corpus}': it was withdrawn, or a later delivery does not have it (what "
        f"went: allears diff {corpus} V1 V2)"
    )


def _split(paths: Paths, version: versions.Version, clip: str) -> str | None:
    """The clip's split in a version; None where it is not in it."""
    row = _row(versions.rows_of(paths, version, ["clip", "split"]), clip)
    return None if row is None else str(row["split"])


def _trained(
    paths: Paths, shard: dict[str, Any] | None, splits: list[tuple[versions.Version, str]], *, is_train: bool
) -> list[dict[str, Any]]:
    """What has heard the clip's audio, in whichever split it is now; and runs that kept no list of what they heard, if
    they were given shards of a version in which it was for training.
    """
    shards = {digest for one, split in splits if split == "train" for digest in one.shards}
    shards |= {shard["shards"]} if shard and is_train else set()
    pcm = [shard["pcm_sha256"]] if shard else []
    return [
        {"kind": one.kind, "corpus": one.corpus, "folder": one.folder, "clips": one.clips}
        for one in trained_on(paths.data, paths.corpus, pcm=pcm, shards=shards)
    ]


def _source(row: dict[str, Any]) -> dict[str, Any]:
    """The recording as it lies there now, against what was noted of it."""
    recording = Recording(Path(row["root"]) / row["path"], row["member"])
    found = None
    if recording.file.exists():
        for _, path in opened([recording]):
            found = None if isinstance(path, AudioError) else file_digest(path)
    name = addresses()(recording.file)
    if is_url(name) and (not recording.file.exists() or problem(recording.file)):
        state = "in its bucket, not fetched"
    else:
        state = "gone" if found is None else "as noted" if found == row["file_sha256"] else "changed since"
    return {
        "file": name, "member": row["member"], "sha256": row["file_sha256"], "bytes": row["file_bytes"],
        "state": state,
    }  # fmt: skip


def _shard(index: Index, shard_set: ShardSet, clip: str) -> dict[str, Any] | None:
    place = index.position.get(clip)
    if place is None:
        return None
    tar = shard_set.folder / index.shards[int(index.shard_N[place])]
    offset, length = int(index.offset_N[place]), int(index.length_N[place])
    try:
        with tar.open("rb") as file:
            data = os.pread(file.fileno(), length, offset)
        state = "as noted" if hashlib.sha256(data).hexdigest() == index.sha256[place] else "changed since"
    except OSError:
        state = "gone"
    return {
        "shards": shard_set.digest, "tar": str(tar), "offset": offset, "length": length,
        "samples": int(index.samples_N[place]), "sample_rate_hz": shard_set.sample_rate_hz,
        "sha256": index.sha256[place], "pcm_sha256": index.pcm_sha256[place], "state": state,
    }  # fmt: skip


def _index(paths: Paths) -> tuple[Index | None, ShardSet | None]:
    handle = paths.shards / "shards.json"
    if not handle.exists():
        return None, None
    shard_set = ShardSet.from_json(read_json(handle))
    try:
        return read_index(shard_set), shard_set
    except AllearsError:  # the shards are being written, or were cut by a kill: they are no stage that has been
        return None, None


def _table(file: Path) -> pd.DataFrame | None:
    return pd.read_parquet(file) if file.exists() else None


def _row(table: pd.DataFrame | None, clip: str) -> dict[str, Any] | None:
    found = None if table is None else table[table["clip"] == clip]
    if found is None or found.empty:
        return None
    values = found.iloc[0].astype(object)
    record = values.where(values.notna(), None).to_dict()
    return {str(name): value.item() if hasattr(value, "item") else value for name, value in record.items()}
