"""Read clips out of the shards, on this machine or in a bucket: FLAC at indexed offsets."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from allears.audio.flac import decode_into
from allears.errors import AudioError
from allears.shards.handle import ShardSet
from allears.shards.index import Index, read_index
from allears.shards.local import LocalTars
from allears.shards.remote import Remote, RemoteTars, Traffic


class ShardReader:
    """Clips by their place in the index. Safe to use from several threads; a context manager that closes its files.

    `remote` is where a copy of the tars lies, from which the clips are read; without one it is the tars themselves. A
    clip's sha256 is checked whenever it is read: a flipped bit costs a message, not a training.
    """

    def __init__(self, shard_set: ShardSet, remote: Remote | None = None, index: Index | None = None) -> None:
        """`index`: of the tars that are read, where somebody has it already."""
        self.shard_set = shard_set
        self.index: Index = index or read_index(shard_set)
        self._tars: LocalTars | RemoteTars
        if remote is None:
            self._tars = LocalTars(shard_set.folder, self.index)
        else:
            self._tars = RemoteTars(self.index, remote)

    def read(self, place: int, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
        """Samples `start : start + samples` (to the end when None) of the clip at `place`, float32 [T] in [-1, 1].

        Raises DamageError naming shard, clip and offset when the bytes are not those of the index.
        """
        wanted = int(self.index.samples_N[place]) - start if samples is None else samples
        audio_T = np.empty(wanted, dtype=np.float32)
        self.read_into(place, start, audio_T)
        return audio_T

    def read_into(self, place: int, start: int, out_T: NDArray[np.float32]) -> None:
        """Fill `out_T` with the clip's samples from `start` on; errors as `read`."""
        data = self._tars.read(place)
        try:
            found = decode_into(data, start, out_T)
        except AudioError as error:
            raise self._tars.damaged(place, str(error)) from error
        if found != len(out_T):
            wanted = start + len(out_T)
            raise self._tars.damaged(place, f"they hold {start + found} samples, expected at least {wanted}")

    def flac(self, place: int) -> bytes:
        """The clip's FLAC as it lies in the tar; errors as `read`."""
        return self._tars.read(place)

    @property
    def round_bytes(self) -> int:
        """How many bytes of FLAC are asked for at a time, before they are needed; 0: none."""
        return self._tars.round_bytes

    def expect(self, places: Sequence[int]) -> None:
        """These clips are read next, in about this order: have them fetched. Those of a copy are held until read."""
        self._tars.expect(places)

    def traffic(self) -> Traffic | None:
        """What was asked of the copy so far; None without one."""
        return self._tars.traffic() if isinstance(self._tars, RemoteTars) else None

    def close(self) -> None:
        """Close the shards; reading opens them again. A copy is not asked any more."""
        self._tars.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
