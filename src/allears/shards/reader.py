"""Read clips out of the shards: positional reads at indexed offsets, FLAC through libsndfile."""

from __future__ import annotations

import hashlib
import io
import os
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from allears.errors import StaleError, StorageError
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.storage.files import storage_error


class ShardReader:
    """Clips by their place in the index. Safe to use from several threads; a context manager that closes its files."""

    def __init__(self, shard_set: ShardSet) -> None:
        self.shard_set = shard_set
        self.index: Index = read_index(shard_set)
        self._files: dict[int, int] = {}
        self._lock = Lock()

    def read(self, place: int, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
        """Samples `start : start + samples` (to the end when None) of the clip at `place`, float32 [T] in [-1, 1].

        Raises StaleError naming shard, clip and offset when the bytes are not those of the index.
        """
        data = self._bytes(place)
        expected = int(self.index.samples_N[place]) - start if samples is None else samples
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as sound:
                if start:
                    sound.seek(start)
                audio: NDArray[np.float32] = sound.read(expected, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise self._damaged(place, f"they are not FLAC ({error})") from error
        if len(audio) != expected:
            raise self._damaged(place, f"they hold {start + len(audio)} samples, expected at least {start + expected}")
        return audio

    def check(self, place: int) -> None:
        """Raise StaleError unless the clip's bytes have the sha256 of the index."""
        if hashlib.sha256(self._bytes(place)).hexdigest() != self.index.sha256[place]:
            raise self._damaged(place, "their sha256 is another")

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        with self._lock:
            for handle in self._files.values():
                os.close(handle)
            self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bytes(self, place: int) -> bytes:
        shard = int(self.index.shard_N[place])
        offset, length = int(self.index.offset_N[place]), int(self.index.length_N[place])
        path = self.shard_set.folder / self.index.shards[shard]
        try:
            with self._lock:
                handle = self._files.get(shard)
                if handle is None:
                    handle = self._files[shard] = os.open(path, os.O_RDONLY)
            data = os.pread(handle, length, offset)
        except FileNotFoundError as error:
            raise StorageError(
                f"shard {path} is missing, though the index has it; run `kedro run --pipeline shard` to write it again"
            ) from error
        except OSError as error:
            raise storage_error(path, error) from error
        if len(data) != length:
            raise self._damaged(place, f"the shard ends after {len(data)} of {length} bytes")
        return data

    def _damaged(self, place: int, found: str) -> StaleError:
        shard = self.shard_set.folder / self.index.shards[int(self.index.shard_N[place])]
        return StaleError(
            f"shard {shard}, clip {self.index.clips[place]}, offset {int(self.index.offset_N[place])}: the bytes are "
            f"not those of the index: {found}. Delete the shard and run `kedro run --pipeline shard`"
        )
