"""Whom a model has heard: kept in its export, so that nobody tests it on them, whatever became of the splits since.

Legend: `N` clips. Names and audio are kept as the first 64 bits of a sha256: small, and no speaker's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from allears.errors import StaleError, StorageError
from allears.shards.clips import read_clips
from allears.shards.handle import ShardSet
from allears.shards.index import read_index
from allears.storage.files import atomic_path
from allears.types import Split

NAME = "heard.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Sorted 64-bit names of groups (speakers, sessions or recordings of a corpus) and of clips' samples."""

    groups: NDArray[np.uint64]
    audio: NDArray[np.uint64]

    @classmethod
    def of(cls, corpus: str, groups_N: Iterable[str], pcm_sha256_N: Iterable[str]) -> Heard:
        """What is heard with N clips."""
        return cls(np.unique(group_names(corpus, groups_N)), np.unique(audio_names(pcm_sha256_N)))

    def joined(self, other: Heard | None) -> Heard:
        """Both together."""
        if other is None:
            return self
        return Heard(np.union1d(self.groups, other.groups), np.union1d(self.audio, other.audio))

    def clips_of(self, pcm_sha256: Iterable[str]) -> int:
        """How many of these clips it has heard, by the digest of their samples in the shards."""
        return int(np.isin(np.unique(audio_names(pcm_sha256)), self.audio).sum())

    def knows_group(self, corpus: str, groups: Iterable[str]) -> bool:
        """Whether it has heard anything of one of these groups."""
        return bool(np.isin(group_names(corpus, groups), self.groups).any())


def save_heard(folder: Path, heard: Heard) -> None:
    """Write it into the folder of an export or of a run."""
    save_arrays(folder / NAME, groups=heard.groups, audio=heard.audio)


def load_heard(folder: Path) -> Heard | None:
    """What an export or a run says; None when it says nothing, as models of others do. StorageError when it cannot be
    read.
    """
    arrays = load_arrays(folder / NAME, ("groups", "audio"))
    return None if arrays is None else Heard(arrays["groups"], arrays["audio"])


def save_arrays(path: Path, **arrays: NDArray[np.uint64]) -> None:
    """Write named arrays as one npz; StorageError when the disk is full or the folder read-only."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.uint64]] | None:
    """The arrays of an npz; None when there is no such file, StorageError when it cannot be read."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StorageError(f"{path} cannot be read ({error}); export the encoder again, or fetch its folder") from error


def check_unheard(
    export: Path, corpus: str, clips: Path, shard_set: ShardSet, splits: Sequence[Split], cure: str
) -> None:
    """StaleError when an export has heard a kept clip of `splits`, or its speaker; `cure` says what to do then.

    `clips` is the table of clips of `corpus`, whose audio is in `shard_set`. What says nothing is not refused.
    """
    heard = load_heard(export)
    if heard is None:
        return
    index, table = read_index(shard_set), read_clips(clips)
    rows = zip(*(table.column(name) for name in ("clip", "split", "group", "keep")), strict=True)
    asked = [
        (group, index.pcm_sha256[index.position[clip]]) for clip, split, group, keep in rows if keep and split in splits
    ]
    if not asked:
        return
    groups_N, audio_N = zip(*asked, strict=True)
    known_N = np.isin(group_names(corpus, groups_N), heard.groups) | np.isin(audio_names(audio_N), heard.audio)
    if known_N.any():
        names = sorted({group for group, known in zip(groups_N, known_N, strict=True) if known})
        held_out = " and ".join(splits)
        raise StaleError(
            f"the encoder in {export} has heard {len(names)} of the {len(set(groups_N))} speakers (or recordings) of "
            f"corpus '{corpus}' that are held out ({held_out}), such as {names[0]}: what it does on them would prove "
            f"nothing. {cure}"
        )


def group_names(corpus: str, groups: Iterable[str]) -> NDArray[np.uint64]:
    """Names of groups, which count within their corpus."""
    hashed = (hashlib.sha256(f"{corpus}\0{group}".encode()).digest() for group in groups)
    return np.array([int.from_bytes(digest[:8]) for digest in hashed], dtype=np.uint64)


def audio_names(pcm_sha256: Iterable[str]) -> NDArray[np.uint64]:
    """Names of samples, from their digests in the index of the shards."""
    return np.array([int(digest[:16], 16) for digest in pcm_sha256], dtype=np.uint64)
