"""The clips' FLAC out of tars on this machine's disks: positional reads, each checked against its sha256."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from allears.errors import DamageError
from allears.shards.ahead import pieces
from allears.shards.index import Index
from allears.storage.files import storage_error

MAX_OPEN = 256  # shards that stay open; many systems allow a process 1,024 files
ROUND_BYTES = 16 << 20  # of FLAC that the system is told of at a time, before it is read
ADVICE_BYTES = 128 << 10  # Linux fetches no more for one call than it reads ahead on that disk, often so much


class LocalTars:
    """FLAC by a clip's place in the index. Safe to use from several threads."""

    round_bytes = ROUND_BYTES if hasattr(os, "posix_fadvise") else 0  # not everywhere (macOS)

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.index = index
        self._files: dict[int, int] = {}
        self._lock = Lock()

    def expect(self, places: Sequence[int]) -> None:
        """Tell the system that the clips at `places` are read next: it fetches them into its page cache meanwhile,
        neighbours together. What fails here fails when it is read.
        """
        if not self.round_bytes:
            return
        for piece in pieces(self.index, places):
            with suppress(OSError), self._opened(piece.shard) as handle:
                for start in range(piece.start, piece.end, ADVICE_BYTES):
                    os.posix_fadvise(handle, start, min(ADVICE_BYTES, piece.end - start), os.POSIX_FADV_WILLNEED)

    def read(self, place: int) -> bytes:
        """The FLAC of the clip at `place`. DamageError names shard, clip and offset."""
        index, shard = self.index, int(self.index.shard_N[place])
        offset, length = int(index.offset_N[place]), int(index.length_N[place])
        path = self._path(shard)
        try:
            with self._opened(shard) as handle:
                data = os.pread(handle, length, offset)
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
        if hashlib.sha256(data).hexdigest() != index.sha256[place]:
            raise self.damaged(place, "their sha256 is another")
        return data

    def damaged(self, place: int, found: str) -> DamageError:
        """The sentence for bytes that are not those of the index."""
        shard = self._path(int(self.index.shard_N[place]))
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

    @contextmanager
    def _opened(self, shard: int) -> Iterator[int]:
        """A tar's file descriptor: kept open, while there are not too many."""
        with self._lock:
            handle = self._files.get(shard)
            if handle is None and len(self._files) < MAX_OPEN:
                handle = self._files[shard] = os.open(self._path(shard), os.O_RDONLY)
        if handle is not None:
            yield handle
            return
        with self._path(shard).open("rb", buffering=0) as file:
            yield file.fileno()

    def _path(self, shard: int) -> Path:
        return self.folder / self.index.shards[shard]
