"""Which clips' targets a task model has learned: kept in its export, so that it never judges what it was taught.

Not `heard.npz`: an encoder that heard a clip without its text has no opinion on that text yet. Kept as there, as the
first 64 bits of a sha256, of clips both by name and by samples: samples are known under any name, and a name still is
when another version of a decoder gives other samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allears.checkpoints.heard import audio_names, group_names, load_arrays, save_arrays

NAME = "learned.npz"
FIELDS = ("clips", "audio", "groups")


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Sorted 64-bit names of clips (within their corpus), of their samples, and of their groups (speakers)."""

    clips: NDArray[np.uint64]
    audio: NDArray[np.uint64]
    groups: NDArray[np.uint64]

    @classmethod
    def of(cls, corpus: str, clips_N: Iterable[str], pcm_sha256_N: Iterable[str], groups_N: Iterable[str]) -> Learned:
        """What is learned from N clips of a corpus; `pcm_sha256_N` as in the index of its shards."""
        names = (group_names(corpus, clips_N), audio_names(pcm_sha256_N), group_names(corpus, groups_N))
        return cls(*(np.unique(each) for each in names))

    def has_clips(self, corpus: str, clips_N: Iterable[str]) -> NDArray[np.bool_]:
        """Which clips [N] of a corpus are among them by name."""
        return np.isin(group_names(corpus, clips_N), self.clips)

    def has_groups(self, corpus: str, groups_N: Iterable[str]) -> NDArray[np.bool_]:
        """Which groups [N] of a corpus have a clip among them."""
        return np.isin(group_names(corpus, groups_N), self.groups)

    def has_audio(self, pcm_sha256: str) -> bool:
        """Whether a clip with these samples is among them."""
        return bool(np.isin(audio_names([pcm_sha256]), self.audio)[0])


def save_learned(folder: Path, learned: Learned) -> None:
    """Write it into the folder of an export."""
    save_arrays(folder / NAME, clips=learned.clips, audio=learned.audio, groups=learned.groups)


def load_learned(folder: Path) -> Learned | None:
    """What an export says; None when it says nothing. StorageError when it cannot be read."""
    arrays = load_arrays(folder / NAME, FIELDS)
    return None if arrays is None else Learned(*(arrays[name] for name in FIELDS))
