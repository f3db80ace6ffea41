"""NeMo's manifests: a JSON line a clip, a manifest a split; FLAC files in a folder for each of our tars beside them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.shards.export.source import Piece, Source
from allears.storage.files import atomic_folder, write_text

KNOWN = (
    "text", "label", "language", "speaker", "gender", "accent", "age", "group", "session", "licence", "attributes",
    "split", "weight",
)  # fmt: skip
NAMES = {"language": "lang"}  # NeMo's


def pieces(source: Source) -> list[Piece]:
    """The audio of each tar, then the manifest of each split."""
    index = source.reader.index
    chosen_n = np.sort(np.concatenate(list(source.splits.values())))
    audio = []
    for mine in np.split(chosen_n, np.flatnonzero(np.diff(index.shard_N[chosen_n])) + 1):
        name = str(Path(_file(source, int(mine[0]))).parent)
        audio.append(Piece(name, partial(_write_audio, source, mine)))
    manifests = [
        Piece(f"{split}_manifest.json", partial(_write_manifest, source, places_n))
        for split, places_n in source.splits.items()
    ]
    return [*audio, *manifests]


def line(source: Source, place: int) -> dict[str, Any]:
    """What the manifest says of a clip; what is unknown is not there."""
    known = {NAMES.get(name, name): value for name, value in source.known(place, KNOWN).items()}
    clip = source.reader.index.clips[place]
    return {"audio_filepath": _file(source, place), "duration": source.seconds(place), "clip": clip, **known}


def _file(source: Source, place: int) -> str:
    index = source.reader.index
    tar = index.shards[int(index.shard_N[place])]
    return f"audio/{tar.removesuffix('.tar')}/{index.clips[place]}.flac"


def _write_audio(source: Source, places_n: NDArray[np.int64], file: Path) -> None:
    with atomic_folder(file) as temporary:
        for place in places_n.tolist():
            (temporary / Path(_file(source, place)).name).write_bytes(source.reader.flac(place))


def _write_manifest(source: Source, places_n: NDArray[np.int64], file: Path) -> None:
    lines = (json.dumps(line(source, place), ensure_ascii=False) + "\n" for place in places_n.tolist())
    write_text(file, "".join(lines))
