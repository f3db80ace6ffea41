"""Masked units: predict the k-means unit of hidden frames (HuBERT, arXiv 2106.07447; ILS, arXiv 2112.08778).

Legend: `B` clips, `F` frames, `D` width, `M` masked frames, `V` units.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.errors import ConfigError, TrainingError
from allears.models.audio_encoder import AudioEncoder
from allears.objectives.base import Input, Objective, inside, masked_prediction
from allears.objectives.masking import batch_masks
from allears.params.objective import MaskedUnitsConfig
from allears.types import AudioBatch, ObjectiveOutput


class MaskedUnits(Objective):
    """Cross-entropy over frames that have a unit; with intermediate blocks, the mean over all their heads.

    A hidden frame weighs 1, a visible one `visible_weight` (HuBERT, section 3.1, mixes L_m and L_u; fairseq's
    pred_masked_weight and pred_nomask_weight). The metrics are of hidden frames alone.
    """

    inputs: ClassVar[frozenset[Input]] = frozenset({"audio", "units"})

    def __init__(self, config: MaskedUnitsConfig, encoder: AudioEncoder, seed: int) -> None:
        super().__init__()
        blocks = encoder.config.conformer.blocks
        try:
            config.check_blocks(blocks)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.config = config
        self.encoder = encoder
        self.seed = seed
        self.layers = (*sorted(set(config.intermediate_blocks)), blocks)
        generator = torch.Generator().manual_seed(seed)
        width = encoder.config.conformer.width
        self.heads = nn.ModuleList(CosineHead(width, config, generator) for _ in self.layers)

    def forward(self, batch: AudioBatch) -> ObjectiveOutput:
        """`batch.units_BU`: units at the encoder's frame rate, -1 where there is none (no loss there)."""
        if batch.units_BU is None:
            raise TrainingError("masked_units needs a unit for each frame, the batch has none; run the labelling step")
        features_BFC, frames_B = self.encoder.features(batch.audio_BT, batch.samples_B)
        F = features_BFC.shape[1]
        mask_BF = batch_masks(batch, frames_B, F, self.config.mask, self.seed)
        output = self.encoder.encode(features_BFC, frames_B, mask_BF)
        units_BF = _fit(batch.units_BU, F)
        known_BF = (units_BF >= 0) & inside(frames_B, F)
        hidden_BF, visible_BF = mask_BF & known_BF, ~mask_BF & known_BF
        targets_M = units_BF[hidden_BF]
        if known_BF.any() and int(units_BF.max()) >= self.config.units:
            raise TrainingError(
                f"a frame has unit {int(units_BF.max())}, but pretrain.objectives.masked_units.units is "
                f"{self.config.units}; they must agree with the unit model: set that key to its number of units, or "
                "label again"
            )
        hidden_sum = seen_sum = features_BFC.new_zeros(())
        for layer, head in zip(self.layers, self.heads, strict=True):
            hidden, facts = masked_prediction(head(output.layers[layer][hidden_BF]), targets_M)
            hidden_sum = hidden_sum + hidden / len(self.heads)
            if self.config.visible_weight:
                seen = functional.cross_entropy(
                    head(output.layers[layer][visible_BF]), units_BF[visible_BF], reduction="sum"
                )
                seen_sum = seen_sum + seen / len(self.heads)
        count = hidden_BF.sum()
        return ObjectiveOutput(
            loss_sum=hidden_sum + self.config.visible_weight * seen_sum,
            count=count + self.config.visible_weight * visible_BF.sum(),
            metrics={
                "loss": (hidden_sum.detach(), count),
                "masked_accuracy": (facts["correct"], count),
                "masked_share": (mask_BF.sum(), inside(frames_B, F).sum()),
            },
            histograms={"codes": facts["codes"], "predictions": facts["predictions"]},
        )


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
        """Logits [M, V]."""
        projected = functional.normalize(self.projection(frames_MD).float(), dim=-1)
        return projected @ functional.normalize(self.units_VD.float(), dim=-1).T / self.temperature


def _fit(units_BU: Tensor, F: int) -> Tensor:
    """Cut, or fill with -1, to F frames. A training's labels are F frames as they come; other callers' need not be."""
    U = units_BU.shape[1]
    return units_BU[:, :F] if U >= F else functional.pad(units_BU, (0, F - U), value=-1)
