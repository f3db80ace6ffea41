"""From a manifest and its verdicts to tars: decode, resample, FLAC. The only user of webdataset is `tar.py` below it.

One item of work is one tar. Which clips it holds follows from their deliveries and places alone, so the bytes depend
on neither the number of workers nor on what was killed in between, and a tar changes only when one of its clips does.
An index part beside each tar, written after it, says what the tar was made of; a tar whose part says the same is not
written again. What a repack has merged (`packing.py`) is one tar, and one whose clips lie in tars that are to go is
made of their bytes (`moving.py`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audio.decode import Mono, mixed, resample
from allears.corpus.clips import ClipRef
from allears.corpus.manifest import REF_COLUMNS, clip_refs
from allears.corpus.opening import decoded_clips, fetch_clips
from allears.engine.mapping import map_items
from allears.errors import AudioError, CorpusError, StorageError
from allears.shards.handle import INDEX, ShardSet
from allears.shards.index import join_parts, read_notes
from allears.shards.jobs import PARTS, VERSION, TarJob, names_of, note_part, part_of
from allears.shards.moving import move_all, with_sources
from allears.shards.packing import Dealt, read_packing
from allears.shards.tar import Sound, write_tar
from allears.storage.digest import identity
from allears.storage.files import storage_error, sweep
from allears.storage.receipt import NAME as RECEIPT
from allears.storage.receipt import read_receipt, write_receipt

FLAC_SHARE = 0.55  # of the 16-bit bytes, roughly: plans the size of a tar before anything is decoded
SNAPSHOT = ("text", "label", "language", "accent", "gender", "age", "speaker", "session", "licence", "split")
COLUMNS = (*REF_COLUMNS, *SNAPSHOT, "delivery", "place_s")


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
    dealt = deal_deliveries(deliveries, target_mb=target_mb, min_shards=min_shards, sample_rate_hz=sample_rate_hz)
    dealt_N = _numbers(manifest["delivery"].to_numpy(np.int64), manifest["place_s"].to_numpy(np.float64), dealt)
    refs = clip_refs(manifest)
    packed_N = read_packing(folder, dealt).number(dealt_N)
    jobs = _jobs(manifest, refs, hard, dealt_N, packed_N, folder, corpus, sample_rate_hz)
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
    wanted = names_of(jobs)
    todo = with_sources(todo, wanted - names_of(todo), folder, refs)
    _begin(folder)
    _keep_only(folder, wanted | {source for job in todo for source in job.sources})
    _write_all(move_all(todo), folder, timeout_s, workers)
    _keep_only(folder, wanted)
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
    dealt = deal_deliveries(deliveries, target_mb=target_mb, min_shards=min_shards, sample_rate_hz=sample_rate_hz)
    return _numbers(delivery_N, place_s_N, dealt)


def deal_deliveries(deliveries: Sequence[float], *, target_mb: float, min_shards: int, sample_rate_hz: int) -> Dealt:
    """The seconds of a tar and the number of tars of each delivery; a later one changes nothing of those before it."""
    bytes_a_second = sample_rate_hz * 2 * FLAC_SHARE
    seconds_D = np.asarray(deliveries, dtype=np.float64)
    most_s_D = np.minimum(target_mb * 1e6 / bytes_a_second, np.cumsum(seconds_D) / min_shards)
    tar_s_D = 2.0 ** np.floor(np.log2(np.maximum(most_s_D, 1e-3)))
    return tuple(zip(tar_s_D.tolist(), np.ceil(seconds_D / tar_s_D).tolist(), strict=True))


def _numbers(delivery_N: NDArray[np.int64], place_s_N: NDArray[np.float64], dealt: Dealt) -> NDArray[np.int64]:
    tar_s_D, tars_D = np.asarray(dealt, dtype=np.float64).reshape(-1, 2).T
    first_D = np.cumsum(tars_D) - tars_D
    return np.asarray(first_D[delivery_N] + np.floor(place_s_N / tar_s_D[delivery_N]), dtype=np.int64)


def write_job(job: TarJob) -> int:
    """Decode the clips of one tar and write it, then its index part; returns its bytes. Runs in a worker process."""
    return note_part(job, write_tar(job.path, _sounds(job), job.sample_rate_hz))


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
    manifest: pd.DataFrame, refs: Sequence[ClipRef], hard: Collection[str], dealt_N: NDArray[np.int64],
    packed_N: NDArray[np.int64], folder: Path, corpus: str, rate_hz: int,
) -> list[TarJob]:  # fmt: skip
    chosen: dict[int, list[int]] = {}
    for place in np.argsort(dealt_N, kind="stable").tolist():  # a merged tar holds one tar's clips after the other's
        if refs[place].clip not in hard:
            chosen.setdefault(int(packed_N[place]), []).append(place)
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


def _begin(folder: Path) -> None:
    """Take back the marker and the index, and remove what a killed run left half-written."""
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        for path in (folder / RECEIPT, folder / INDEX, *folder.glob(".*.tmp"), *(folder / PARTS).glob(".*.tmp")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error


def _keep_only(folder: Path, tars: Collection[str]) -> None:
    """Remove all other tars: what an older run left, or what another tar holds now."""
    try:
        for path in folder.glob("*.tar"):
            if path.name not in tars:
                part_of(path).unlink(missing_ok=True)  # first: a kill in between must leave no part without its tar
                path.unlink()
    except OSError as error:
        raise storage_error(folder, error) from error
