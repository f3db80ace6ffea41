"""From a manifest and its verdicts to tars: decode, resample, FLAC. The only user of webdataset is `tar.py` below it.

One item of work is one tar. Which clips it holds follows from their deliveries and places alone, so the bytes depend
on neither the number of workers nor on what was killed in between, and a tar changes only when one of its clips does.
An index part beside each tar, written after it, says what the tar was made of; a tar whose part says the same is not
written again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audio.decode import DECODERS, Mono, mixed, resample
from allears.corpus.clips import ClipRef
from allears.corpus.manifest import REF_COLUMNS, clip_refs
from allears.corpus.opening import decoded_clips, fetch_clips
from allears.engine.mapping import map_items
from allears.errors import AudioError, CorpusError, StorageError
from allears.shards.handle import INDEX, ShardSet
from allears.shards.index import join_parts, read_notes, write_part
from allears.shards.tar import Sound, write_tar
from allears.storage.digest import identity, value_digest
from allears.storage.files import storage_error, sweep
from allears.storage.receipt import NAME as RECEIPT
from allears.storage.receipt import read_receipt, write_receipt

VERSION = 2
FLAC_SHARE = 0.55  # of the 16-bit bytes, roughly: plans the size of a tar before anything is decoded
PARTS = "parts"
SNAPSHOT = ("text", "label", "language", "accent", "gender", "age", "speaker", "session", "licence", "split")
COLUMNS = (*REF_COLUMNS, *SNAPSHOT, "delivery", "place_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class TarJob:
    """One tar to write. `snapshots`: what other readers are told of each clip, as JSON."""

    path: Path
    sample_rate_hz: int
    clips: tuple[ClipRef, ...]
    snapshots: tuple[str, ...]

    @property
    def part(self) -> Path:
        """Its index part."""
        return self.path.parent / PARTS / f"{self.path.stem}.parquet"

    @property
    def key(self) -> str:
        """What its audio depends on. Texts and labels are not in it: correcting one rewrites no tar."""
        return tar_key(self.path.name, self.sample_rate_hz, self.clips)


def tar_key(name: str, sample_rate_hz: int, clips: Sequence[ClipRef]) -> str:
    """What the audio of tar `name` depends on."""
    audio = [[clip.clip, clip.file_sha256, clip.channel, clip.start_s, clip.end_s] for clip in clips]
    return value_digest([VERSION, DECODERS, name, sample_rate_hz, audio])


def write_shards(
    manifest: pd.DataFrame,
    deliveries: Sequence[float],
    hard: set[str],
    folder: Path,
    corpus: str,
    *,
    sample_rate_hz: int,
    target_mb: float,
    min_shards: int,
    timeout_s: float,
    workers: int | None,
) -> tuple[ShardSet, int]:
    """The shards of all clips but `hard` in `folder`, and how many tars this call wrote. `deliveries`: as for `deal`.

    Raises CorpusError when no clip is left or one does not decode, StorageError when tars cannot be written.
    """
    number_N = deal(
        manifest["delivery"].to_numpy(np.int64), manifest["place_s"].to_numpy(np.float64), deliveries,
        target_mb=target_mb, min_shards=min_shards, sample_rate_hz=sample_rate_hz,
    )  # fmt: skip
    jobs = _jobs(manifest, hard, number_N, folder, corpus, sample_rate_hz)
    if not jobs:
        raise CorpusError(
            f"corpus '{corpus}': none of {len(manifest)} clips may enter a shard, all have a hard verdict; look at the "
            "audit page for the reasons"
        )
    name = shards_identity({job.path.name: job.key for job in jobs})
    todo = [job for job in jobs if not _is_written(job)]
    notes = read_receipt(folder, name)
    if notes is not None and not todo and (folder / INDEX).exists():
        return ShardSet.from_json(notes | {"folder": str(folder)}), 0
    _clear(folder, {job.path.name for job in jobs})
    _write_all(todo, folder, timeout_s, workers)
    shard_set = join_parts(folder, [job.part for job in jobs])
    write_receipt(folder, name, shard_set.to_json())
    return shard_set, len(todo)


def shards_identity(keys: Mapping[str, str]) -> str:
    """The identity of shards: the key of each tar by its name."""
    return identity("shards", VERSION, keys, None)


def deal(
    delivery_N: NDArray[np.int64],
    place_s_N: NDArray[np.float64],
    deliveries: Sequence[float],
    *,
    target_mb: float,
    min_shards: int,
    sample_rate_hz: int,
) -> NDArray[np.int64]:
    """The number of the tar of each clip [N], from its delivery and the seconds that came before it there.

    `deliveries` are the seconds that each delivery brought, what has left since included. A delivery begins a new tar,
    so that nothing of an earlier one is written again. Its tars hold the same seconds: those of `target_mb`, in a small
    corpus less, so that there are `min_shards` or more; rounded down to a power of two.
    """
    bytes_a_second = sample_rate_hz * 2 * FLAC_SHARE
    seconds_D = np.asarray(deliveries, dtype=np.float64)
    most_s_D = np.minimum(target_mb * 1e6 / bytes_a_second, np.cumsum(seconds_D) / min_shards)
    tar_s_D = 2.0 ** np.floor(np.log2(np.maximum(most_s_D, 1e-3)))
    tars_D = np.ceil(seconds_D / tar_s_D)
    first_D = np.cumsum(tars_D) - tars_D
    return np.asarray(first_D[delivery_N] + np.floor(place_s_N / tar_s_D[delivery_N]), dtype=np.int64)


def write_job(job: TarJob) -> int:
    """Decode the clips of one tar and write it, then its index part; returns its bytes. Runs in a worker process."""
    rows = write_tar(job.path, _sounds(job), job.sample_rate_hz)
    size = job.path.stat().st_size
    write_part(job.part, rows, {"key": job.key, "bytes": str(size)})
    return size


def _sounds(job: TarJob) -> Iterator[Sound]:
    for (clip, native_T, rate_hz), snapshot in zip(_decoded(job.clips), job.snapshots, strict=True):
        audio_T = resample(native_T, rate_hz, job.sample_rate_hz)
        if not len(audio_T):
            raise CorpusError(
                f"clip {clip.clip} of {clip.file} holds no samples from {clip.start_s:g} s on: the file is shorter "
                "than when it was ingested; run `ingest` and `audit` again"
            )
        yield Sound(clip.clip, audio_T, json.loads(snapshot))


def _decoded(clips: Sequence[ClipRef]) -> Iterator[tuple[ClipRef, Mono, int]]:
    """The clips in their order; neighbours of one file are decoded together (an archive may have another order)."""
    for _, neighbours in itertools.groupby(clips, key=lambda clip: clip.file):
        waiting = list(neighbours)
        ahead: dict[str, tuple[Mono, int]] = {}
        try:
            for clip, decoded in decoded_clips(waiting):
                if isinstance(decoded, AudioError):
                    raise _gone(clip, decoded)
                audio_TC, rate_hz = decoded
                ahead[clip.clip] = mixed(audio_TC), rate_hz
                while waiting and waiting[0].clip in ahead:
                    first = waiting.pop(0)
                    yield (first, *ahead.pop(first.clip))
        except OSError as error:
            raise _gone(waiting[0], error) from error


def _gone(clip: ClipRef, error: Exception) -> CorpusError:
    return CorpusError(
        f"clip {clip.clip} of {clip.file} cannot be decoded ({error}), though the audit could: the file was changed or "
        "moved since. Put it back, or run `ingest` and `audit` again to take note of it"
    )


def _jobs(
    manifest: pd.DataFrame, hard: set[str], number_N: NDArray[np.int64], folder: Path, corpus: str, rate_hz: int
) -> list[TarJob]:
    chosen: dict[int, list[int]] = {}
    refs = clip_refs(manifest)
    for place, (number, ref) in enumerate(zip(number_N.tolist(), refs, strict=True)):
        if ref.clip not in hard:
            chosen.setdefault(number, []).append(place)
    snapshots = [
        json.dumps({name: None if pd.isna(value) else str(value) for name, value in zip(SNAPSHOT, row, strict=True)})
        for row in manifest[list(SNAPSHOT)].itertuples(index=False, name=None)
    ]
    return [
        TarJob(
            path=folder / f"{corpus}-{number:06d}.tar",
            sample_rate_hz=rate_hz,
            clips=tuple(refs[place] for place in places),
            snapshots=tuple(snapshots[place] for place in places),
        )
        for number, places in sorted(chosen.items())
    ]


def _is_written(job: TarJob) -> bool:
    notes = read_notes(job.part)
    return notes.get("key") == job.key and job.path.exists() and notes.get("bytes") == str(job.path.stat().st_size)


def _write_all(todo: list[TarJob], folder: Path, timeout_s: float, workers: int | None) -> None:
    journal = folder / PARTS / "journal.jsonl"  # of this call alone: the parts say what is done
    journal.unlink(missing_ok=True)
    for outcome in map_items(
        write_job,
        todo,
        key=lambda job: job.key,
        journal=journal,
        title="writing shards",
        workers=workers,
        timeout_s=timeout_s,
        prepare=lambda jobs: fetch_clips([clip for job in jobs for clip in job.clips]),
    ):
        if outcome.reason is not None:
            clips = outcome.item.clips
            raise StorageError(
                f"{outcome.item.path}: writing failed ({outcome.message}). It holds {len(clips)} clips, the "
                f"first is {clips[0].clip}. What was finished is kept; run the same command again"
            )
    journal.unlink(missing_ok=True)
    for each in (folder, journal.parent):  # a worker may have died whose tar another one wrote
        sweep(each)


def _clear(folder: Path, tars: set[str]) -> None:
    """Take back the marker and the index, and remove what a killed or an older run left."""
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        for path in (folder / RECEIPT, folder / INDEX, *folder.glob(".*.tmp"), *(folder / PARTS).glob(".*.tmp")):
            path.unlink(missing_ok=True)
        for path in folder.glob("*.tar"):
            if path.name not in tars:
                path.unlink()
                (folder / PARTS / f"{path.stem}.parquet").unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
