"""Next unit: a language model of the units of audio, without text (GSLM, arXiv 2102.01192). No encoder, no audio.

Legend: `B` clips, `U` units, `N` packed rows, `M` places in a row, `K` units that are predicted, `V` units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from allears.errors import TrainingError
from allears.models.unit_lm import unit_lm
from allears.objectives.base import Objective, masked_prediction, rows
from allears.params.objective import NextUnitConfig
from allears.types import Batch, ObjectiveOutput


class NextUnit(Objective):
    """Cross-entropy of each unit given those before it in its clip.

    Clips are packed into rows; a place attends to its own clip only, and positions count from the clip's start token.
    """

    config: NextUnitConfig

    def __init__(self, config: NextUnitConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.lm = unit_lm(
            config.units, config.width, config.blocks, config.heads, config.ffn_width, config.context, seed
        )

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """Return the packed rows: tokens, clip and position of each place, and which places predict which unit."""
        if batch.units is None:
            raise TrainingError("next_unit needs units, the batch has none; run the labelling step")
        sequences = [units_U[units_U >= 0] for units_U in batch.units.data.numpy()]
        if self.config.remove_repeats:
            sequences = [without_repeats(units_U) for units_U in sequences]
        found = pack(sequences, self.config.context, start=self.config.units)
        targets_K = found.pop("targets")
        if (largest := int(targets_K.max(initial=-1))) >= self.config.units:
            raise TrainingError(
                f"a frame has unit {largest}, but pretrain.objectives.next_unit.units is {self.config.units}; they "
                "must agree with the unit model: set that key to its number of units, or label again"
            )
        return {
            "tokens_NM": torch.from_numpy(found["tokens"]),
            "clips_NM": torch.from_numpy(found["clips"]),
            "positions_NM": torch.from_numpy(found["positions"]),
            "places_M": torch.from_numpy(np.flatnonzero(found["clips"] >= 0)),
            "targets_M": torch.from_numpy(targets_K),
            "codes_KV": torch.from_numpy(np.bincount(targets_K, minlength=self.config.units)[None]),
            "count": torch.tensor(len(targets_K)),
        }

    def forward(self, batch: Batch) -> ObjectiveOutput:
        """Return the loss over all units."""
        ready = batch.prepared
        mask_N1MM = clip_mask(ready["clips_NM"])
        hidden_NMD = self.lm.model(
            input_ids=ready["tokens_NM"], attention_mask=mask_N1MM, position_ids=ready["positions_NM"], use_cache=False
        ).last_hidden_state
        logits_KV = self.lm.lm_head(rows(hidden_NMD, ready["places_M"]))
        loss_sum, correct, predicted_V = masked_prediction(logits_KV, ready["targets_M"])
        count = ready["count"]
        return ObjectiveOutput(
            loss_sum=loss_sum,
            count=count,
            metrics={"loss": (loss_sum.detach(), count), "next_accuracy": (correct, count)},
            histograms={"codes": ready["codes_KV"], "predictions": predicted_V[None, : self.config.units]},
        )

    def exports(self) -> dict[str, nn.Module]:
        """Return the language model."""
        return {"lm": self.lm}


def without_repeats(units_U: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each run of equal units as one."""
    return units_U[np.flatnonzero(np.diff(units_U, prepend=-1))]


def pack(sequences: Sequence[NDArray[np.int64]], context: int, start: int) -> dict[str, NDArray[np.int64]]:
    """Pack sequences into rows of `context` places (more, if one is longer; fewer, if all fit), longest first.

    Each takes as many places as it has units: the start token, then all units but the last. Returns `tokens`, `clips`
    (which sequence, -1 for padding) and `positions` [N, M], and `targets` [K], the unit that follows each place that is
    not padding, in the order of the places.
    """
    lengths = [len(units_U) for units_U in sequences]
    M = max(1, *lengths, min(context, sum(lengths))) if lengths else 1
    rows_: list[list[int]] = []
    free: list[int] = []
    for place in sorted(range(len(sequences)), key=lambda each: -lengths[each]):
        row = next((number for number, left in enumerate(free) if left >= lengths[place]), None)
        if row is None:
            row = len(rows_)
            rows_.append([])
            free.append(M)
        rows_[row].append(place)
        free[row] -= lengths[place]
    N = max(1, len(rows_))
    tokens_NM, clips_NM, positions_NM = np.full((N, M), start), np.full((N, M), -1), np.zeros((N, M), dtype=np.int64)
    targets: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for row, places in enumerate(rows_):
        begin = 0
        for place in places:
            units_U, end = sequences[place], begin + lengths[place]
            tokens_NM[row, begin + 1 : end] = units_U[:-1]
            clips_NM[row, begin:end] = place
            positions_NM[row, begin:end] = np.arange(lengths[place])
            targets.append(units_U)
            begin = end
    return {
        "tokens": tokens_NM, "clips": clips_NM, "positions": positions_NM, "targets": np.concatenate(targets),
    }  # fmt: skip


def clip_mask(clips_NM: Tensor) -> Tensor:
    """Return bool [N, 1, M, M]: a place attends to places of its own clip up to itself."""
    same_NMM = clips_NM[:, :, None] == clips_NM[:, None, :]
    place_M = torch.arange(clips_NM.shape[1], device=clips_NM.device)
    return (same_NMM & (place_M[:, None] >= place_M))[:, None]
