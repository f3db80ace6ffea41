"""Read clips out of the shards: positional reads at indexed offsets, FLAC through libsndfile."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
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

MAX_OPEN = 256  # shards that stay open; many systems allow a process 1,024 files


class ShardReader:
    """Clips by their place in the index. Safe to use from several threads; a context manager that closes its files.

    A clip's sha256 is checked when it is read first: a flipped bit costs a message, not a training.
    """

    def __init__(self, shard_set: ShardSet) -> None:
        self.shard_set = shard_set
        self.index: Index = read_index(shard_set)
        self._checked_N = np.zeros(len(self.index.clips), dtype=bool)
        self._files: dict[int, int] = {}
        self._lock = Lock()

    def read(self, place: int, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
        """Samples `start : start + samples` (to the end when None) of the clip at `place`, float32 [T] in [-1, 1].

        Raises StaleError naming shard, clip and offset when the bytes are not those of the index.
        """
        wanted = int(self.index.samples_N[place]) - start if samples is None else samples
        audio_T = np.empty(wanted, dtype=np.float32)
        self.read_into(place, start, audio_T)
        return audio_T

    def read_into(self, place: int, start: int, out_T: NDArray[np.float32]) -> None:
        """Fill `out_T` with the clip's samples from `start` on; errors as `read`."""
        data = self._bytes(place)
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as sound:
                if start:
                    sound.seek(start)
                found = len(sound.read(dtype="float32", out=out_T))
        except soundfile.LibsndfileError as error:
            raise self._damaged(place, f"they are not FLAC ({error})") from error
        if found != len(out_T):
            raise self._damaged(place, f"they hold {start + found} samples, expected at least {start + len(out_T)}")

    def flac(self, place: int) -> bytes:
        """The clip's FLAC as it lies in the tar; errors as `read`."""
        return self._bytes(place)

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
            data = self._pread(shard, path, length, offset)
        except FileNotFoundError as error:
            raise StorageError(
                f"shard {path} is missing, though the index has it (clip {self.index.clips[place]}, offset {offset}); "
                "run `kedro run --pipeline shard` to write it again"
            ) from error
        except OSError as error:
            raise storage_error(path, error) from error
        if len(data) != length:
            raise self._damaged(place, f"the shard ends after {len(data)} of {length} bytes")
        if not self._checked_N[place]:
            if hashlib.sha256(data).hexdigest() != self.index.sha256[place]:
                raise self._damaged(place, "their sha256 is another")
            self._checked_N[place] = True
        return data

    def _pread(self, shard: int, path: Path, length: int, offset: int) -> bytes:
        with self._lock:
            handle = self._files.get(shard)
            if handle is None and len(self._files) < MAX_OPEN:
                handle = self._files[shard] = os.open(path, os.O_RDONLY)
        if handle is not None:
            return os.pread(handle, length, offset)
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def _damaged(self, place: int, found: str) -> StaleError:
        shard = self.shard_set.folder / self.index.shards[int(self.index.shard_N[place])]
        return StaleError(
            f"shard {shard}, clip {self.index.clips[place]}, offset {int(self.index.offset_N[place])}: these are not "
            f"the bytes of the index: {found}. The file was changed or the disk is failing; delete this shard and run "
            "`kedro run --pipeline shard`, which writes only what is missing"
        )
