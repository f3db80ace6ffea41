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
Input = Literal["audio", "units", "text", "labels"]
Cost = Literal["samples", "units", "tokens"]


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences of a batch, padded on the right: `data` [B, N, …], `lengths_B` int64 true lengths.

    `full` is known on the host: no sequence is shorter than N, or only rows that fill the batch are, so attention
    needs no mask. `host_lengths` are `lengths_B` where the host knows them: reading those of a GPU would wait for it.
    """

    data: Tensor
    lengths_B: Tensor
    full: bool = False
    host_lengths: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One micro-batch. What the objective does not ask for (its `inputs`) is neither read nor sent: None.

    Identity: `keys` [B] clip ids ('' for a row that only fills the batch); `starts` [B] first sample (or unit) of each
    crop in its clip; `before` [B] how often the epoch has used each clip before; `epoch`, `step` and `micro` (the place
    in the step) count from 0. They seed whatever is random about the batch.

    Contents: `audio` float32 [B, T] in [-1, 1]; `units` int64 [B, U] frame labels, -1 where there is none; `texts` and
    `labels` [B] as the table of clips has them. `prepared`: what `Objective.prepare` computed from these on the host.
    """

    keys: tuple[str, ...]
    starts: tuple[int, ...]
    before: tuple[int, ...]
    epoch: int
    step: int
    micro: int = 0
    audio: Padded | None = None
    units: Padded | None = None
    texts: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    prepared: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOutput:
    """`layers`: input of the first block, then the output of each block, each [B, F, D] (so blocks + 1 entries);
    `last_BFD` the final output after the last norm; `frames_B` int64, true lengths; `local_BFC` the normalised features
    of each frame before anything is hidden or looks at other frames (`local_width` values).
    """

    layers: tuple[Tensor, ...]
    last_BFD: Tensor
    frames_B: Tensor
    local_BFC: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOutput:
    """A loss as (sum, count): the trainer divides by the count of the whole step, so padding, micro-batches and ranks
    do not change the gradient. `metrics`: name → (sum, count), detached, added up the same way; `histograms`: name →
    counts [K, V], added up the same way (use of K codebooks of V codes). Either may be empty.
    """

    loss_sum: Tensor
    count: Tensor
    metrics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
