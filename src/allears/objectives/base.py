"""The protocol of an objective, and what the masked ones share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.params.objective import ObjectiveConfig
from allears.types import Batch, ObjectiveOutput


class Objective(nn.Module, ABC):
    """A loss around the modules that it trains.

    `config.inputs` names what a batch carries, `config.cost` what the capacity of a batch counts. `prepare` and
    `forward` are pure functions of the weights and the batch: what is random comes from (seed, epoch, key, start).
    """

    config: ObjectiveConfig

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """Return what `forward` needs beside the inputs (masks, lengths, targets), computed on the CPU.

        Called by reader threads ahead of the step: it may use configurations and seeds, but no weights. `forward`
        then finds it under `batch.prepared`, on the device of the weights.
        """
        del batch
        return {}

    @abstractmethod
    def forward(self, batch: Batch) -> ObjectiveOutput:
        """Return the loss as (sum, count), metrics and histograms. Nothing here may wait for the device.

        So no `.item()`, `.tolist()`, boolean indexing, `nonzero` or `bincount`: `prepare` is the place for those.
        Metrics that end in `_accuracy` are shown wherever the loss is; histograms called `codes` and `predictions` are
        guarded against collapse (`training.guards`).
        """

    @abstractmethod
    def exports(self) -> dict[str, nn.Module]:
        """Return the modules that the export folder holds, by name. `encoder` is the one that is probed."""


def masked_prediction(logits_MV: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the float32 cross entropy summed over M frames; and, detached, how many are right and how often each
    code is predicted [V].
    """
    loss_sum = functional.cross_entropy(logits_MV.float(), targets_M, reduction="sum")
    with torch.no_grad():
        predicted_M = logits_MV.argmax(-1)
        return loss_sum, (predicted_M == targets_M).sum(), histogram(predicted_M, logits_MV.shape[1])


def histogram(codes_M: Tensor, V: int) -> Tensor:
    """Return how often each of V codes occurs, int64 [V]; unlike `bincount` it does not wait for the device."""
    return torch.zeros(V, dtype=torch.int64, device=codes_M.device).scatter_add_(0, codes_M, torch.ones_like(codes_M))


def rows(x_BFD: Tensor, places_M: Tensor) -> Tensor:
    """Return the frames at `places_M` (positions among all B × F) as [M, D]."""
    return x_BFD.flatten(0, 1).index_select(0, places_M)
