"""One tar: mono 16-bit FLAC and a JSON snapshot a clip, the same bytes whenever and wherever it is written."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from allears.storage.files import atomic_path

HEADER = 512  # bytes of a tar header before each member's content


class Sound(NamedTuple):
    """A clip to write: mono float32 [T] in [-1, 1], and what other readers of the tar get told of it."""

    clip: str
    audio_T: NDArray[np.float32]
    snapshot: dict[str, Any]


def write_tar(path: Path, sounds: Iterable[Sound], sample_rate_hz: int) -> list[dict[str, Any]]:
    """Atomically write `path` and return its index rows (`index.SCHEMA`), in tar order.

    Raises StorageError when the disk is full or the folder read-only.
    """
    from webdataset.writer import TarWriter  # imports torch: seconds, only where tars are written

    rows = []
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as stream,
        TarWriter(stream, mtime=0, encoder=False) as writer,
    ):
        for sound in sounds:
            pcm_T = to_pcm(sound.audio_T)
            flac = encode_flac(pcm_T, sample_rate_hz)
            offset = writer.tarstream.offset + HEADER  # members are written in the order of their extension
            snapshot = json.dumps(sound.snapshot, sort_keys=True, ensure_ascii=False).encode()
            writer.write({"__key__": sound.clip, "flac": flac, "json": snapshot})
            rows.append(
                {
                    "clip": sound.clip,
                    "shard": path.name,
                    "offset": offset,
                    "length": len(flac),
                    "samples": len(pcm_T),
                    "sample_rate_hz": sample_rate_hz,
                    "sha256": hashlib.sha256(flac).hexdigest(),
                    "pcm_sha256": hashlib.sha256(pcm_T.tobytes()).hexdigest(),
                }
            )
    return rows


def to_pcm(audio_T: NDArray[np.float32]) -> NDArray[np.int16]:
    """16-bit samples of float ones; what overshoots ±1 (resampling does) is clipped. 16-bit sources come back."""
    pcm_T: NDArray[np.int16] = np.clip(np.rint(audio_T * np.float32(32768)), -32768, 32767).astype("<i2")
    return pcm_T


def encode_flac(pcm_T: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """FLAC bytes of 16-bit samples."""
    stream = io.BytesIO()
    soundfile.write(stream, pcm_T, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return stream.getvalue()
