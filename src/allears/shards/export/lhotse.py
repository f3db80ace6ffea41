"""Lhotse Shar: a folder a split with cuts and the tars of their recordings; `CutSet.from_shar(in_dir=FOLDER/train)`.

Shar and not a list of files: it opens wherever the folder lies, reads sequentially, and needs no file a clip.
"""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.shards.export.source import Piece, Source
from allears.shards.tar import Entry, write_entries
from allears.storage.files import atomic_path

OF_SUPERVISION = ("text", "language", "speaker", "gender")
CUSTOM = ("split", "label", "accent", "age", "group", "session", "licence", "attributes", "weight")


def pieces(source: Source) -> list[Piece]:
    """A Shar shard for each of our tars, in each split that it has clips of."""
    found = []
    for split, places_n in source.splits.items():
        shard_n = source.reader.index.shard_N[places_n]
        for number, mine in enumerate(np.split(places_n, np.flatnonzero(np.diff(shard_n)) + 1)):
            found += [
                Piece(f"{split}/recording.{number:06d}.tar", partial(_write_recordings, source, mine)),
                Piece(f"{split}/cuts.{number:06d}.jsonl.gz", partial(_write_cuts, source, mine)),
            ]
    return found


def cut(source: Source, place: int) -> dict[str, Any]:
    """The clip as lhotse's MonoCut, whose audio is in the tar beside it."""
    clip, seconds = source.reader.index.clips[place], source.seconds(place)
    span = {"id": clip, "start": 0.0, "duration": seconds, "channel": 0}
    spoken = {"recording_id": clip, **source.known(place, OF_SUPERVISION)}
    return {
        **span,
        "supervisions": [span | spoken],
        "recording": _recording(source, place),
        "custom": source.known(place, CUSTOM),
        "type": "MonoCut",
    }


def _recording(source: Source, place: int) -> dict[str, Any]:
    index = source.reader.index
    return {
        "id": index.clips[place],
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": source.reader.shard_set.sample_rate_hz,
        "num_samples": int(index.samples_N[place]),
        "duration": source.seconds(place),
        "channel_ids": [0],
    }


def _write_recordings(source: Source, places_n: NDArray[np.int64], file: Path) -> None:
    clips = source.reader.index.clips
    recordings = ((place, json.dumps(_recording(source, place)).encode()) for place in places_n.tolist())
    write_entries(file, (Entry(clips[place], source.reader.flac(place), told, {}) for place, told in recordings))


def _write_cuts(source: Source, places_n: NDArray[np.int64], file: Path) -> None:
    lines = (json.dumps(cut(source, place), ensure_ascii=False) + "\n" for place in places_n.tolist())
    with (
        atomic_path(file) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
    ):
        packed.writelines(line.encode() for line in lines)
