"""BEST-RQ: predict the codes that a frozen random quantizer gives to hidden frames (arXiv 2202.01855), with several
codebooks (Universal Speech Model, arXiv 2303.01037, section 3.2: "multi-softmax").

Deviation: hidden frames are replaced by the encoder's learned mask embedding, not by N(0, 0.1) noise in the features.
The encoder that we share with transformers normalises each frame of features (LayerNorm), which would blow that noise
up to unit variance; the embedding needs no draw and is a weight that transformers knows.

Legend: `B` clips, `F` frames, `C` features, `M` masked frames, `K` codebooks, `V` codes, `E` code width, `D` width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.models.audio_encoder import AudioEncoder
from allears.objectives.base import Input, Objective, inside, masked_prediction
from allears.objectives.masking import batch_masks
from allears.params.objective import BestRQConfig
from allears.types import AudioBatch, ObjectiveOutput


class BestRQ(Objective):
    """One softmax a codebook over masked frames; loss and accuracy are means over codebooks.

    A hidden frame weighs 1, a visible one `visible_weight` (the paper has hidden frames alone; at small budgets the
    visible ones teach the first layers much sooner). Metrics and histograms are of hidden frames; histograms have
    K × V entries, codebook after codebook.
    """

    inputs: ClassVar[frozenset[Input]] = frozenset({"audio"})

    def __init__(self, config: BestRQConfig, encoder: AudioEncoder, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.quantizer = RandomQuantizer(encoder.config.log_mel.width, config, generator)
        self.head = nn.Linear(encoder.config.conformer.width, config.codebooks * config.codes)
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: AudioBatch) -> ObjectiveOutput:
        """Targets come from the features without a mask, normalised per clip (without that, codes collapse)."""
        features_BFC, frames_B = self.encoder.features(batch.audio_BT, batch.samples_B)
        F, K = features_BFC.shape[1], self.config.codebooks
        mask_BF = batch_masks(batch, frames_B, F, self.config.mask, self.seed)
        visible_BF = inside(frames_B, F) & ~mask_BF
        targets_MK = self.quantizer(features_BFC[mask_BF])
        output = self.encoder.encode(features_BFC, frames_B, mask_BF)
        logits = torch.split(self.head(output.last_BFD[mask_BF]), self.config.codes, dim=-1)
        parts = [masked_prediction(logits[k], targets_MK[:, k]) for k in range(K)]
        hidden_sum = torch.stack([loss for loss, _ in parts]).sum() / K
        correct = torch.stack([facts["correct"] for _, facts in parts]).sum() / K
        seen_sum = hidden_sum.new_zeros(())
        if self.config.visible_weight:
            seen_MKV = self.head(output.last_BFD[visible_BF]).unflatten(-1, (K, -1))
            codes_MK = self.quantizer(features_BFC[visible_BF])
            seen_sum = functional.cross_entropy(seen_MKV.flatten(0, 1), codes_MK.flatten(), reduction="sum") / K
        count = mask_BF.sum()
        return ObjectiveOutput(
            loss_sum=hidden_sum + self.config.visible_weight * seen_sum,
            count=count + self.config.visible_weight * visible_BF.sum(),
            metrics={
                "loss": (hidden_sum.detach(), count),
                "masked_accuracy": (correct, count),
                "masked_share": (mask_BF.sum(), inside(frames_B, F).sum()),
            },
            histograms={name: torch.cat([facts[name] for _, facts in parts]) for name in ("codes", "predictions")},
        )


class RandomQuantizer(nn.Module):
    """A frozen Xavier projection [C, K·E] and L2-normalised codebooks [K, V, E] (section 3.1)."""

    projection_CH: Tensor
    codebooks_KVE: Tensor

    def __init__(self, width: int, config: BestRQConfig, generator: torch.Generator) -> None:
        super().__init__()
        E = config.code_width
        projections = [
            nn.init.xavier_uniform_(torch.empty(width, E), generator=generator) for _ in range(config.codebooks)
        ]
        codebooks = torch.randn(config.codebooks, config.codes, E, generator=generator)
        self.register_buffer("projection_CH", torch.cat(projections, dim=1))
        self.register_buffer("codebooks_KVE", functional.normalize(codebooks, dim=-1))

    @torch.no_grad()
    def forward(self, features_MC: Tensor) -> Tensor:
        """Codes [M, K] int64: the nearest codebook entry on the unit sphere.

        There ‖a − b‖² = 2 − 2 a·b, so nearest is the largest dot product, and the length of the projected frame does
        not matter: one product [M, E] × [E, V] a codebook, nothing of size M × V × E.
        """
        K, _, E = self.codebooks_KVE.shape
        with torch.autocast(features_MC.device.type, enabled=False):
            projected = torch.split(features_MC.float() @ self.projection_CH, E, dim=-1)
            codes = [(projected[k] @ self.codebooks_KVE[k].T).argmax(-1) for k in range(K)]
        return torch.stack(codes, dim=-1)
