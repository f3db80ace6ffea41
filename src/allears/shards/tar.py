"""One tar: mono 16-bit FLAC and a JSON snapshot a clip, the same bytes whenever and wherever it is written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from allears.errors import StorageError
from allears.storage.files import atomic_path

HEADER = BLOCK = 512  # bytes of a tar header before each member's content, which is filled up to whole blocks
FACTS = ("samples", "sample_rate_hz", "sha256", "pcm_sha256")


class Sound(NamedTuple):
    """A clip to write: mono float32 [T] in [-1, 1], and what other readers of the tar get told of it."""

    clip: str
    audio_T: NDArray[np.float32]
    snapshot: dict[str, Any]


class Entry(NamedTuple):
    """A clip as it lies in a tar: FLAC and snapshot as bytes, and what the index says of the audio."""

    clip: str
    flac: bytes
    snapshot: bytes
    facts: dict[str, Any]


def write_tar(path: Path, sounds: Iterable[Sound], sample_rate_hz: int) -> list[dict[str, Any]]:
    """Atomically write `path` and return its index rows (`index.PART_SCHEMA`), in tar order.

    Raises StorageError when the disk is full or the folder read-only.
    """
    return write_entries(path, (_encoded(sound, sample_rate_hz) for sound in sounds))


def write_entries(path: Path, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """As `write_tar`, of what is encoded already."""
    from webdataset.writer import TarWriter  # imports torch: seconds, only where tars are written

    rows = []
    with atomic_path(path) as temporary:
        with temporary.open("wb") as stream, TarWriter(stream, mtime=0, encoder=False) as writer:
            for entry in entries:
                offset = writer.tarstream.offset + HEADER  # members are written in the order of their extension
                writer.write({"__key__": entry.clip, "flac": entry.flac, "json": entry.snapshot})
                where = {"clip": entry.clip, "shard": path.name, "offset": offset, "length": len(entry.flac)}
                rows.append(where | entry.facts | {"end": writer.tarstream.offset})
        with temporary.open("rb") as written:
            for row in rows:
                row["rest_crc32"] = rest_crc32(written.fileno(), row["offset"], row["length"], row.pop("end"))
    return rows


def rest_crc32(file: int, offset: int, length: int, end: int) -> int:
    """CRC of a clip's bytes in the tar (up to `end`) that are not its audio: headers, snapshot and filling."""
    header = os.pread(file, HEADER, offset - HEADER)
    return zlib.crc32(os.pread(file, end - offset - length, offset + length), zlib.crc32(header))


def snapshot_bytes(snapshot: Mapping[str, Any]) -> bytes:
    """A snapshot as it lies in the tar."""
    return json.dumps(snapshot, sort_keys=True, ensure_ascii=False).encode()


def read_entries(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    """The clips of `rows` (of the index) as they lie in `path`, in that order.

    Raises StorageError when one is not there, or not as the index says.
    """
    with tarfile.open(path, "r:") as tar:
        members = {member.name: member for member in tar}
        for row in rows:
            flac, snapshot = (_content(tar, members, f"{row['clip']}.{kind}") for kind in ("flac", "json"))
            if hashlib.sha256(flac).hexdigest() != row["sha256"]:
                raise StorageError(f"{path}: clip {row['clip']} is damaged; delete the tar and run the shard pipeline")
            yield Entry(row["clip"], flac, snapshot, {name: row[name] for name in FACTS})


def _encoded(sound: Sound, sample_rate_hz: int) -> Entry:
    pcm_T = to_pcm(sound.audio_T)
    flac = encode_flac(pcm_T, sample_rate_hz)
    facts = {
        "samples": len(pcm_T), "sample_rate_hz": sample_rate_hz, "sha256": hashlib.sha256(flac).hexdigest(),
        "pcm_sha256": hashlib.sha256(pcm_T.tobytes()).hexdigest(),
    }  # fmt: skip
    return Entry(sound.clip, flac, snapshot_bytes(sound.snapshot), facts)


def _content(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> bytes:
    stream = tar.extractfile(members[name]) if name in members else None
    if stream is None:
        raise StorageError(f"{tar.name!s} has no {name}; delete the tar and run the shard pipeline")
    return stream.read()


def to_pcm(audio_T: NDArray[np.float32]) -> NDArray[np.int16]:
    """16-bit samples of float ones; what overshoots ±1 (resampling does) is clipped. 16-bit sources come back."""
    pcm_T: NDArray[np.int16] = np.clip(np.rint(audio_T * np.float32(32768)), -32768, 32767).astype("<i2")
    return pcm_T


def encode_flac(pcm_T: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """FLAC bytes of 16-bit samples."""
    stream = io.BytesIO()
    soundfile.write(stream, pcm_T, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return stream.getvalue()
