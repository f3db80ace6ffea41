"""Recordings as local files: those in archives are written to a temporary one while they are looked at."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from allears.audio.decode import BLOCK_S, Channels, Decoder, chosen, decoded_together
from allears.corpus import mirror
from allears.corpus.clips import ClipRef, Recording
from allears.errors import AudioError, PassingError
from allears.storage.containers import is_tar, parquet_place, read_members
from allears.storage.digest import file_digest

MOST_TOGETHER = 16  # clips that a worker takes at once
_TIMES = 16  # that the headers of one tar may be read, each time for its share of the clips
Stamp = tuple[int, int, int]
Taken = TypeVar("Taken")
VERIFIED_BYTES = 64 << 20  # a longer file is taken by several workers: reading it whole in each would cost too much


def fetch_recordings(recordings: Sequence[Recording]) -> None:
    """Fetch what of them lies in a bucket and was not fetched yet, before workers open them."""
    mirror.fetch(recording.file for recording in recordings)


def fetch_clips(refs: Sequence[ClipRef]) -> None:
    """As `fetch_recordings`, for what clips are cut from."""
    mirror.fetch(Path(ref.file) for ref in refs)


def opened(recordings: Sequence[Recording]) -> Iterator[tuple[Recording, Path | AudioError]]:
    """Each recording with a path that holds it until the next one is asked for; an archive is read once for all.

    The recordings are of one file, or none of them is in an archive.
    """
    if not recordings or recordings[0].member is None:
        yield from ((recording, mirror.problem(recording.file) or recording.file) for recording in recordings)
        return
    file = recordings[0].file
    if (absent := mirror.problem(file)) is not None:
        yield from ((recording, absent) for recording in recordings)
        return
    with tempfile.TemporaryDirectory(prefix="allears-") as folder:
        for member, data in read_members(file, [recording.member or "" for recording in recordings]):
            if isinstance(data, AudioError):
                yield Recording(file, member), data
                continue
            path = Path(folder) / re.sub(r"[^A-Za-z0-9_.]", "-", f"{file.name}-{member}")[-100:].lstrip("-.")
            path.write_bytes(data)
            yield Recording(file, member), path
            path.unlink()


def decoded_clips(refs: Sequence[ClipRef]) -> Iterator[tuple[ClipRef, tuple[Channels, int] | AudioError]]:
    """Each clip of a batch with the samples [T, C] of its channels and their rate, or with why there are none.

    They are of the bytes that were ingested: else the reason is `changed`. Raises OSError.
    """
    of_recording: dict[Recording, list[ClipRef]] = {}
    for ref in refs:
        of_recording.setdefault(ref.recording, []).append(ref)
    whole = [ref.recording for ref in refs if ref.start_s == 0 and ref.end_s is None]
    ahead = taken_together(whole, decoded_together)
    for recording, path in opened(list(of_recording)):
        if isinstance(path, AudioError):
            yield from ((ref, path) for ref in of_recording[recording])
            continue
        before, samples = ahead.pop(path, None) or (stamp(path), None)
        decoder = Decoder(path, samples)
        changed = _other_bytes(path, of_recording[recording][0])
        for ref in of_recording[recording]:
            found: tuple[Channels, int] | AudioError
            try:
                audio_TC, rate_hz = decoder.piece(ref.start_s, ref.end_s)
                found = chosen(audio_TC, ref.channel, recording.file), rate_hz
            except AudioError as error:
                found = error
            changed = changed or changed_since(before, path)
            yield ref, changed or found


def taken_together(
    recordings: Sequence[Recording], take: Callable[[Sequence[Path]], dict[Path, Taken]]
) -> dict[Path, tuple[Stamp, Taken]]:
    """What `take` gives for those that are files of their own, each with the file's stamp before that."""
    stamps: dict[Path, Stamp] = {}
    for recording in recordings:
        if recording.member is None:
            with contextlib.suppress(OSError):
                stamps[recording.file] = stamp(recording.file)
    return {path: (stamps[path], taken) for path, taken in take(list(stamps)).items()}


def stamp(path: Path) -> Stamp:
    """What changes when a file does. Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def changed_since(before: Stamp, path: Path) -> PassingError | None:
    """The error `changed` when `path` no longer has that stamp. Raises OSError when it is gone."""
    if stamp(path) == before:
        return None
    return PassingError("changed", f"{path.name}: it was changed while it was read; run again when it is complete")


def _other_bytes(path: Path, ref: ClipRef) -> PassingError | None:
    size = path.stat().st_size
    if ref.file_bytes is None or (
        size == ref.file_bytes and (size > VERIFIED_BYTES or file_digest(path) == ref.file_sha256)
    ):
        return None
    return PassingError("changed", f"{path.name}: other bytes than when it was ingested; run `ingest` again")


def batches(refs: Sequence[ClipRef]) -> list[list[ClipRef]]:
    """What one worker takes at once: clips of one tar, row group or stretch of a long file, or some short files.

    A compressed tar and a row group are read from their start: once, for all their clips. How clips are put together
    changes nothing of what is read of each.
    """
    together: dict[tuple[str, str, int], list[ClipRef]] = {}
    alone: list[ClipRef] = []
    of_file: dict[str, int] = {}
    for ref in refs:
        of_file[ref.file] = of_file.get(ref.file, 0) + 1
    for ref in refs:
        if of_file[ref.file] == 1 and ref.member is None:
            alone.append(ref)
        else:
            together.setdefault((ref.file, *_stretch(ref)), []).append(ref)
    found = [alone[i : i + MOST_TOGETHER] for i in range(0, len(alone), MOST_TOGETHER)]
    for (file, *_), clips in together.items():
        clips.sort(key=_order)
        most = MOST_TOGETHER * 4
        if clips[0].member is not None:
            most = max(most, -(-len(clips) // _TIMES)) if file.lower().endswith(".tar") else len(clips)
        found += [clips[i : i + most] for i in range(0, len(clips), most)]
    return found


def _stretch(ref: ClipRef) -> tuple[str, int]:
    """What of its file a clip is read with."""
    if ref.member is None or is_tar(ref.file):
        return "", 0 if ref.member is not None else int(ref.start_s // BLOCK_S)
    column, group, _ = parquet_place(ref.member)
    return column, group


def _order(ref: ClipRef) -> tuple[int, str, float]:
    row = 0 if ref.member is None or is_tar(ref.file) else parquet_place(ref.member)[2]
    return row, ref.member or "", ref.start_s
