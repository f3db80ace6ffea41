"""BEST-RQ: predict the codes that a frozen random quantizer gives to hidden frames (arXiv 2202.01855), with several
codebooks (Universal Speech Model, arXiv 2303.01037, section 3.2: "multi-softmax").

Deviation: hidden frames are replaced by the encoder's learned mask embedding, not by N(0, 0.1) noise in the features.
The encoder that we share with transformers normalises each frame of features (LayerNorm), which would blow that noise
up to unit variance; the embedding needs no draw and is a weight that transformers knows.

Legend: `B` clips, `F` frames, `C` features, `M` masked frames, `K` codebooks, `V` codes, `E` code width, `D` width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.models.base import Encoder
from allears.objectives.base import Objective, histogram, masked_prediction, rows
from allears.objectives.masking import mask_batch, masked_output, required
from allears.params.objective import BestRQConfig
from allears.types import Batch, ObjectiveOutput


class BestRQ(Objective):
    """One softmax per codebook over masked frames; loss and accuracy are means over codebooks.

    A hidden frame weighs 1, a visible one `visible_weight` (the paper has hidden frames alone; at small budgets the
    visible ones teach the first layers much sooner). Metrics and histograms [K, V] are of hidden frames.
    """

    config: BestRQConfig

    def __init__(self, config: BestRQConfig, encoder: Encoder, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.quantizer = RandomQuantizer(encoder.config.feature_width, config, generator)
        self.head = nn.Linear(encoder.config.width, config.codebooks * config.codes)
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """Return masks and the places of hidden and visible frames."""
        return mask_batch(batch, self.encoder.config.frames, self.config.mask, self.seed).prepared()

    def forward(self, batch: Batch) -> ObjectiveOutput:
        """Targets come from the features without a mask, normalised per clip (without that, codes collapse)."""
        ready, K, V = batch.prepared, self.config.codebooks, self.config.codes
        features = self.encoder.features(required(batch.audio, "audio"))
        targets_MK = self.quantizer(rows(features.data, ready["hidden_M"]))
        output = self.encoder.encode(features, ready["mask_BF"])
        logits = torch.split(self.head(rows(output.last_BFD, ready["hidden_M"])), V, dim=-1)
        losses, right, predictions = zip(
            *(masked_prediction(logits[k], targets_MK[:, k]) for k in range(K)), strict=True
        )
        hidden_sum, correct = torch.stack(losses).sum() / K, torch.stack(right).sum() / K
        seen_sum = hidden_sum.new_zeros(())
        if self.config.visible_weight:
            seen_MKV = self.head(rows(output.last_BFD, ready["visible_N"])).unflatten(-1, (K, -1))
            codes_MK = self.quantizer(rows(features.data, ready["visible_N"]))
            seen_sum = functional.cross_entropy(seen_MKV.flatten(0, 1).float(), codes_MK.flatten(), reduction="sum") / K
        codes_KV = torch.stack([histogram(targets_MK[:, k], V) for k in range(K)])
        return masked_output(
            ready, self.config.visible_weight, hidden_sum, seen_sum, correct,
            {"codes": codes_KV, "predictions": torch.stack(predictions)},
        )  # fmt: skip

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder."""
        return {"encoder": self.encoder}


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
