"""Which frames are hidden: a pure function of seed, epoch, clip, crop and how often the epoch has heard the clip.

Not of the batch or rank that the clip is in.

Legend: `B` clips, `F` frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allears.params.objective import MaskConfig
from allears.types import AudioBatch


def batch_masks(batch: AudioBatch, frames_B: Tensor, F: int, config: MaskConfig, seed: int) -> Tensor:
    """Bool [B, F] on the device of `frames_B`: one mask a clip, never one a batch."""
    starts, frames = batch.starts_B.tolist(), frames_B.tolist()
    masks_BF = span_masks(batch.keys, starts, batch.before, frames, F, config, seed, batch.epoch)
    return torch.from_numpy(masks_BF).to(frames_B.device, non_blocking=True)


def span_masks(
    keys: Sequence[str],
    starts: Sequence[int],
    before: Sequence[int],
    frames: Sequence[int],
    F: int,
    config: MaskConfig,
    seed: int,
    epoch: int,
) -> NDArray[np.bool_]:
    """Bool [B, F]; nothing beyond a clip's own frames is masked, and at least one frame of each clip is.

    Spans start at random (HuBERT, section 3.3; BEST-RQ, section 3.2), and may start before the clip: so each frame,
    the first ones too, is hidden with the same chance `config.share`.
    """
    masks_BF = np.zeros((len(keys), F), dtype=np.bool_)
    for row, (key, start, times, count) in enumerate(zip(keys, starts, before, frames, strict=True)):
        if count:
            masks_BF[row, :count] = _clip_mask(clip_generator(seed, epoch, key, start, times), count, config)
    return masks_BF


def clip_generator(seed: int, epoch: int, key: str, start: int, before: int) -> np.random.Generator:
    """The generator of one crop of one clip, heard `before` times in the epoch: the same in every process."""
    again = f".{before}" if before else ""
    digest = hashlib.blake2b(f"{seed}|{epoch}{again}|{start}|{key}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))


def _clip_mask(generator: np.random.Generator, count: int, config: MaskConfig) -> NDArray[np.bool_]:
    span = config.span_frames
    begins = generator.random(count + span - 1) < config.start_probability
    if not begins.any():
        begins[generator.integers(len(begins))] = True
    hits = np.concatenate(([0], np.cumsum(begins)))
    return np.asarray(hits[span:] > hits[:-span])
