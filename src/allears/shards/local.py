"""The clips' FLAC out of tars on this machine's disks: positional reads, each clip's sha256 checked once."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from threading import Lock

import numpy as np

from allears.errors import DamageError
from allears.shards.index import Index
from allears.storage.files import storage_error

MAX_OPEN = 256  # shards that stay open; many systems allow a process 1,024 files


class LocalTars:
    """FLAC by a clip's place in the index. Safe to use from several threads."""

    round_bytes = 0  # nothing is asked for before it is needed: see `ahead`

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.index = index
        self._checked_N = np.zeros(len(index.clips), dtype=bool)
        self._files: dict[int, int] = {}
        self._lock = Lock()

    def read(self, place: int) -> bytes:
        """The FLAC of the clip at `place`. DamageError names shard, clip and offset."""
        index, shard = self.index, int(self.index.shard_N[place])
        offset, length = int(index.offset_N[place]), int(index.length_N[place])
        path = self.folder / index.shards[shard]
        try:
            data = self._pread(shard, path, length, offset)
        except FileNotFoundError as error:
            raise DamageError(
                f"shard {path} is missing, though the index has it (clip {index.clips[place]}, offset {offset}); "
                "run `kedro run --pipeline shard` to write it again"
            ) from error
        except OSError as error:
            if error.errno == errno.EIO:
                raise self.damaged(place, "the disk cannot read them") from error
            raise storage_error(path, error) from error
        if len(data) != length:
            raise self.damaged(place, f"the shard ends after {len(data)} of {length} bytes")
        if not self._checked_N[place]:
            if hashlib.sha256(data).hexdigest() != index.sha256[place]:
                raise self.damaged(place, "their sha256 is another")
            self._checked_N[place] = True
        return data

    def damaged(self, place: int, found: str) -> DamageError:
        """The sentence for bytes that are not those of the index."""
        shard = self.folder / self.index.shards[int(self.index.shard_N[place])]
        return DamageError(
            f"shard {shard}, clip {self.index.clips[place]}, offset {int(self.index.offset_N[place])}: these are not "
            f"the bytes of the index: {found}. The file was changed or the disk is failing; delete this shard and run "
            "`kedro run --pipeline shard`, which writes only what is missing"
        )

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        with self._lock:
            for handle in self._files.values():
                os.close(handle)
            self._files.clear()

    def _pread(self, shard: int, path: Path, length: int, offset: int) -> bytes:
        with self._lock:
            handle = self._files.get(shard)
            if handle is None and len(self._files) < MAX_OPEN:
                handle = self._files[shard] = os.open(path, os.O_RDONLY)
        if handle is not None:
            return os.pread(handle, length, offset)
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)
