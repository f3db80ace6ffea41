"""Which frames are hidden: a pure function of seed, epoch, clip, crop and how often the epoch has used the clip.

Not of the batch or rank that the clip is in. Computed on the CPU, ahead of the step.

Legend: `B` clips, `F` frames, `M` hidden frames, `N` visible ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allears.params.objective import MaskConfig
from allears.types import Batch, ObjectiveOutput, Padded


@dataclass(frozen=True, slots=True)
class Masked:
    """The masks of a batch: `mask_BF` bool, hidden frames; `known_BF` bool, frames with a target."""

    mask_BF: NDArray[np.bool_]
    known_BF: NDArray[np.bool_]
    frames: int  # true frames of all clips

    def hidden(self) -> NDArray[np.int64]:
        """Return the places among all B × F frames of the hidden ones with a target [M]."""
        return np.flatnonzero(self.mask_BF & self.known_BF)

    def visible(self) -> NDArray[np.int64]:
        """Return the places of the visible frames with a target [N]."""
        return np.flatnonzero(~self.mask_BF & self.known_BF)

    def prepared(self) -> dict[str, Tensor]:
        """Return what an objective needs on the device; `counts`: hidden and visible frames with a target, hidden
        frames, true frames.
        """
        hidden_M, visible_N = self.hidden(), self.visible()
        counts = [len(hidden_M), len(visible_N), int(self.mask_BF.sum()), self.frames]
        return {
            "mask_BF": torch.from_numpy(self.mask_BF),
            "hidden_M": torch.from_numpy(hidden_M),
            "visible_N": torch.from_numpy(visible_N),
            "counts": torch.tensor(counts),
        }


def mask_batch(batch: Batch, frames_of: Callable[[int], int], config: MaskConfig, seed: int) -> Masked:
    """Return one mask per clip of `batch.audio`. `frames_of`: frames of so many samples, by the encoder."""
    audio = required(batch.audio, "audio")
    F = max(1, frames_of(audio.data.shape[1]))
    frames = [frames_of(samples) for samples in audio.lengths_B.tolist()]
    masks_BF = span_masks(batch.keys, batch.starts, batch.before, frames, F, config, seed, batch.epoch)
    known_BF = np.arange(F) < np.array(frames)[:, None]
    return Masked(masks_BF, known_BF, sum(frames))


def masked_output(
    ready: Mapping[str, Tensor],
    visible_weight: float,
    hidden_sum: Tensor,
    seen_sum: Tensor,
    correct: Tensor,
    histograms: dict[str, Tensor],
) -> ObjectiveOutput:
    """Return the output of a masked objective from the losses of hidden and visible frames, and of the hidden ones that
    are predicted right. `ready` is what `Masked.prepared` returned.
    """
    hidden_count, visible_count, masked, frames = ready["counts"].unbind()
    return ObjectiveOutput(
        loss_sum=hidden_sum + visible_weight * seen_sum,
        count=hidden_count + visible_weight * visible_count,
        metrics={
            "loss": (hidden_sum.detach(), hidden_count),
            "masked_accuracy": (correct, hidden_count),
            "masked_share": (masked, frames),
        },
        histograms=histograms,
    )


def required(value: Padded | None, name: str) -> Padded:
    """Return an input of a batch. ValueError when the batch was made for an objective that does not use it."""
    if value is None:
        raise ValueError(f"the batch has no {name}: it was read for an objective whose `inputs` do not name it")
    return value


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


def clip_generator(seed: int, epoch: int, key: str, start: int, before: int, purpose: str = "") -> np.random.Generator:
    """Return the generator of one crop of a clip that the epoch has used `before` times: the same in every process.

    Another `purpose` gives an independent generator; masks have none.
    """
    again = f".{before}" if before else ""
    name = f"{seed}|{epoch}{again}|{start}|{key}" + (f"|{purpose}" if purpose else "")
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))


def _clip_mask(generator: np.random.Generator, count: int, config: MaskConfig) -> NDArray[np.bool_]:
    span = config.span_frames
    begins = generator.random(count + span - 1) < config.start_probability
    if not begins.any():
        begins[generator.integers(len(begins))] = True
    hits = np.concatenate(([0], np.cumsum(begins)))
    return np.asarray(hits[span:] > hits[:-span])
