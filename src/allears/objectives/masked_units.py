"""Masked units: predict the k-means unit of hidden frames (HuBERT, arXiv 2106.07447; ILS, arXiv 2112.08778).

Legend: `B` clips, `F` frames, `D` width, `M` masked frames, `V` units.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from allears.errors import ConfigError, TrainingError
from allears.models.base import Encoder
from allears.objectives.base import Objective, masked_prediction, rows
from allears.objectives.masking import Masked, mask_batch, masked_output, required
from allears.params.objective import MaskedUnitsConfig
from allears.types import Batch, ObjectiveOutput


class MaskedUnits(Objective):
    """Cross-entropy over frames that have a unit; with intermediate blocks, the mean over all their heads.

    A hidden frame weighs 1, a visible one `visible_weight` (HuBERT, section 3.1, mixes L_m and L_u; fairseq's
    pred_masked_weight and pred_nomask_weight). The metrics are of hidden frames alone.
    """

    config: MaskedUnitsConfig

    def __init__(self, config: MaskedUnitsConfig, encoder: Encoder, seed: int) -> None:
        super().__init__()
        blocks, width = encoder.config.blocks, encoder.config.width
        try:
            config.check(encoder.config)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.config = config
        self.encoder = encoder
        self.seed = seed
        self.layers = (*sorted(set(config.intermediate_blocks)), blocks)
        generator = torch.Generator().manual_seed(seed)
        self.heads = nn.ModuleList(CosineHead(width, config, generator) for _ in self.layers)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """Return masks, and the units of hidden and visible frames; a frame without a unit (-1) has no loss."""
        if batch.units is None:
            raise TrainingError("masked_units needs a unit for each frame, the batch has none; run the labelling step")
        found = mask_batch(batch, self.encoder.config.frames, self.config.mask, self.seed)
        units_BF = _fit(batch.units.data.numpy(), found.mask_BF.shape[1])
        found = Masked(found.mask_BF, found.known_BF & (units_BF >= 0), found.frames)
        if (largest := int(units_BF.max(initial=-1, where=found.known_BF))) >= self.config.units:
            raise TrainingError(
                f"a frame has unit {largest}, but pretrain.objectives.masked_units.units is {self.config.units}; they "
                "must agree with the unit model: set that key to its number of units, or label again"
            )
        hidden_M = units_BF.reshape(-1)[found.hidden()]
        return found.prepared() | {
            "hidden_units_M": torch.from_numpy(hidden_M),
            "visible_units_N": torch.from_numpy(units_BF.reshape(-1)[found.visible()]),
            "codes_KV": torch.from_numpy(np.bincount(hidden_M, minlength=self.config.units)[None]),
        }

    def forward(self, batch: Batch) -> ObjectiveOutput:
        """Return the loss over the frames that `prepare` chose."""
        ready = batch.prepared
        features = self.encoder.features(required(batch.audio, "audio"))
        output = self.encoder.encode(features, ready["mask_BF"])
        hidden_sum = seen_sum = features.data.new_zeros(())
        for layer, head in zip(self.layers, self.heads, strict=True):
            frames_BFD = output.layers[layer]
            hidden, correct, predictions_V = masked_prediction(
                head(rows(frames_BFD, ready["hidden_M"])), ready["hidden_units_M"]
            )
            hidden_sum = hidden_sum + hidden / len(self.heads)
            if self.config.visible_weight:
                seen = functional.cross_entropy(
                    head(rows(frames_BFD, ready["visible_N"])), ready["visible_units_N"], reduction="sum"
                )
                seen_sum = seen_sum + seen / len(self.heads)
        return masked_output(
            ready, self.config.visible_weight, hidden_sum, seen_sum, correct,
            {"codes": ready["codes_KV"], "predictions": predictions_V[None]},
        )  # fmt: skip

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder."""
        return {"encoder": self.encoder}


class CosineHead(nn.Module):
    """Cosine between a projected frame and each unit's embedding, over a temperature (HuBERT, section 3.2)."""

    def __init__(self, width: int, config: MaskedUnitsConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.projection = nn.Linear(width, config.final_width)
        self.units_VD = nn.Parameter(torch.zeros(config.units, config.final_width))
        nn.init.xavier_uniform_(self.projection.weight, generator=generator)
        nn.init.zeros_(self.projection.bias)
        nn.init.normal_(self.units_VD, generator=generator)

    def forward(self, frames_MD: Tensor) -> Tensor:
        """Return float32 logits [M, V]."""
        projected = functional.normalize(self.projection(frames_MD).float(), dim=-1)
        with torch.autocast(frames_MD.device.type, enabled=False):  # at this temperature bfloat16 is too coarse
            return projected @ functional.normalize(self.units_VD.float(), dim=-1).T / self.temperature


def _fit(units_BU: NDArray[np.int64], F: int) -> NDArray[np.int64]:
    """Cut, or fill with -1, to F frames. A training's labels are F frames as they come; other callers' need not be."""
    U = units_BU.shape[1]
    return units_BU[:, :F] if U >= F else np.pad(units_BU, ((0, 0), (0, F - U)), constant_values=-1)
