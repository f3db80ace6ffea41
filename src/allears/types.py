"""Shapes and units, written once.

Legend: `B` clips in a batch, `T` samples, `F` encoder frames, `D` model width, `C` input features, `U` units,
`K` codebooks, `V` codes. A name that ends in such letters has that shape (`audio_BT`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioBatch:
    """Clips of one micro-batch, padded with zeros on the right.

    `audio_BT` float32 in [-1, 1]; `samples_B` int64, true lengths; `starts_B` int64, first sample of the crop inside
    the stored clip; `before` [B] how often the epoch has heard each clip before; `keys` [B] clip ids ('' for a masked
    row that only pads the last step); `units_BU` int64 frame labels of the crop, -1 where there is none; `epoch`,
    `step` and `micro` (its place in the step) count from 0 and seed whatever is random about the batch.
    """

    keys: tuple[str, ...]
    audio_BT: Tensor
    samples_B: Tensor
    starts_B: Tensor
    before: tuple[int, ...]
    epoch: int
    step: int
    micro: int = 0
    units_BU: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOutput:
    """`layers`: input of the first block, then the output of each block, each [B, F, D] (so blocks + 1 entries);
    `last_BFD` the final output after the last norm; `frames_B` int64, true lengths.
    """

    layers: tuple[Tensor, ...]
    last_BFD: Tensor
    frames_B: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOutput:
    """A loss as (sum, count): the trainer divides by the count of the whole step, so padding, micro-batches and ranks
    do not change the gradient. `metrics`: name → (sum, count), detached, added up the same way; `histograms`: name →
    counts (1-d), added up the same way (codebook use).
    """

    loss_sum: Tensor
    count: Tensor
    metrics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
