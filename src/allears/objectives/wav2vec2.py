"""wav2vec 2.0 (arXiv 2006.11477): tell the quantized latent of a hidden frame from those of other hidden frames.

The latents are an encoder's own features of a frame before context (`EncoderOutput.local_BFC`), so any family can be
trained: `waveform` is the paper's model; with `conformer` the latents are log-mels (w2v-BERT, arXiv 2108.06209).

Legend: `B` clips, `F` frames, `D` width, `M` hidden frames, `G` codebooks, `V` codes of each, `J` negatives.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from allears.models.base import Encoder
from allears.objectives.base import Objective, rows
from allears.objectives.masking import Masked, clip_generator, mask_batch, required
from allears.params.objective import Wav2Vec2Config
from allears.types import Batch, ObjectiveOutput

LEAST = 1e-7  # below it a probability adds nothing to the entropy; the gradient of log 0 would not be finite


class Wav2Vec2(Objective):
    """Contrastive loss over hidden frames (equation 3) plus the diversity of the codes that they use (equation 4).

    Negatives are drawn uniformly from the other hidden frames of the same clip (section 3.2): never padding. One that
    has the same codes as the target is left out. As in fairseq and transformers the diversity is that of a micro-batch,
    times its hidden frames. Gumbel noise comes from torch's generator, which is seeded per micro-batch.
    """

    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config, encoder: Encoder, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.quantizer = GumbelQuantizer(encoder.config.local_width, config, generator)
        self.context_projection = nn.Linear(encoder.config.width, config.final_width)
        self.target_projection = nn.Linear(config.code_width, config.final_width)
        for each in (self.context_projection, self.target_projection):
            nn.init.xavier_uniform_(each.weight, generator=generator)
            nn.init.zeros_(each.bias)

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        """Return masks, negatives (places among the M hidden frames), and the temperature of this update."""
        found = mask_batch(batch, self.encoder.config.frames, self.config.mask, self.seed)
        config, ready = self.config, found.prepared()
        temperature = max(config.gumbel_floor, config.gumbel_start * config.gumbel_decay**batch.step)
        return {name: ready[name] for name in ("mask_BF", "hidden_M", "counts")} | {
            "negatives_MJ": torch.from_numpy(draw_negatives(batch, found, config.negatives, self.seed)),
            "gumbel_temperature": torch.tensor(temperature),
        }

    def forward(self, batch: Batch) -> ObjectiveOutput:
        """Return the loss over the frames that `prepare` chose."""
        ready = batch.prepared
        features = self.encoder.features(required(batch.audio, "audio"))
        output = self.encoder.encode(features, ready["mask_BF"])
        targets_MD, codes_MG, perplexity = self.quantizer(
            rows(output.local_BFC, ready["hidden_M"]), ready["gumbel_temperature"]
        )
        contexts_MD = self.context_projection(rows(output.last_BFD, ready["hidden_M"]))
        contrastive, correct, judged = contrast(
            contexts_MD, self.target_projection(targets_MD), codes_MG, ready["negatives_MJ"], self.config.temperature
        )
        hidden, _, masked, frames = ready["counts"].unbind()
        most = self.config.codebooks * self.config.codes
        diversity = (most - perplexity) / most * hidden
        return ObjectiveOutput(
            loss_sum=contrastive + self.config.diversity_weight * diversity,
            count=hidden,
            metrics={
                "loss": (contrastive.detach(), hidden),
                "contrastive_accuracy": (correct, judged),
                "code_perplexity": (perplexity.detach() * hidden, hidden),
                "masked_share": (masked, frames),
            },
            histograms={"codes": count_codes(codes_MG, self.config.codes)},
        )

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder."""
        return {"encoder": self.encoder}


class GumbelQuantizer(nn.Module):
    """One code of each of G codebooks per frame, chosen by a straight-through Gumbel softmax (section 2)."""

    def __init__(self, inputs: int, config: Wav2Vec2Config, generator: torch.Generator) -> None:
        super().__init__()
        G, V = config.codebooks, config.codes
        self.logits = nn.Linear(inputs, G * V)
        self.codes_GVE = nn.Parameter(torch.zeros(G, V, config.code_width // G))
        nn.init.normal_(self.logits.weight, generator=generator)
        nn.init.zeros_(self.logits.bias)
        nn.init.uniform_(self.codes_GVE, generator=generator)

    def forward(
        self, local_MC: Tensor, temperature: Tensor, noise_MGV: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the quantized frames [M, G × E], their codes [M, G], and the summed perplexity of the G codebooks.

        In training codes are drawn, with `noise_MGV` or new Gumbel noise, and the perplexity is that of the mean
        softmax; in evaluation both are of the most likely codes.
        """
        G, V, _ = self.codes_GVE.shape
        with torch.autocast(local_MC.device.type, enabled=False):
            logits_MGV = self.logits(local_MC.float()).view(-1, G, V)
            if self.training:
                noise_MGV = gumbel_like(logits_MGV) if noise_MGV is None else noise_MGV
                soft_MGV = ((logits_MGV + noise_MGV) / temperature).softmax(-1)
                codes_MG = soft_MGV.argmax(-1)
                hard_MGV = one_hot(codes_MG, V)
                chosen_MGV, share_MGV = hard_MGV + (soft_MGV - soft_MGV.detach()), logits_MGV.softmax(-1)
            else:
                codes_MG = logits_MGV.argmax(-1)
                chosen_MGV = share_MGV = one_hot(codes_MG, V)
            quantized_MGE = torch.einsum("mgv,gve->mge", chosen_MGV, self.codes_GVE)
            share_GV = share_MGV.sum(0) / max(1, share_MGV.shape[0])
            entropy_G = -(share_GV * share_GV.clamp(min=LEAST).log()).sum(-1)
        return quantized_MGE.flatten(1), codes_MG, entropy_G.exp().sum()


def contrast(
    contexts_MD: Tensor, targets_MD: Tensor, codes_MG: Tensor, negatives_MJ: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed contrastive loss (equation 3), how many frames are closest to their own target, and of how many
    that can be said: those with a negative that is left.

    Negatives with the codes of the target are left out. transformers compares the vectors instead, which the rounding
    of the straight-through softmax can make unequal for the same codes.
    """
    with torch.autocast(contexts_MD.device.type, enabled=False):
        contexts_MD, targets_MD = (functional.normalize(each.float(), dim=-1) for each in (contexts_MD, targets_MD))
        cosine_MM = contexts_MD @ targets_MD.T / temperature
        negative_MJ = cosine_MM.gather(1, negatives_MJ)
        same_MJ = (codes_MG[negatives_MJ] == codes_MG[:, None]).all(-1)
        logits_MK = torch.cat((cosine_MM.diagonal()[:, None], negative_MJ.masked_fill(same_MJ, float("-inf"))), 1)
        own_M = torch.zeros_like(logits_MK[:, 0], dtype=torch.int64)
        loss = functional.cross_entropy(logits_MK, own_M, reduction="sum")
        with torch.no_grad():
            judged_M = ~same_MJ.all(-1)
            return loss, ((logits_MK[:, 1:] < logits_MK[:, :1]).all(-1) & judged_M).sum(), judged_M.sum()


def draw_negatives(batch: Batch, found: Masked, J: int, seed: int) -> NDArray[np.int64]:
    """Return for each of M hidden frames J others of the same clip, as places among the M.

    A frame that is the only one of its clip is its own negative, which the loss leaves out.
    """
    counts_B = (found.mask_BF & found.known_BF).sum(1).tolist()
    parts, offset = [np.zeros((0, J), dtype=np.int64)], 0
    for key, start, before, count in zip(batch.keys, batch.starts, batch.before, counts_B, strict=True):
        if count > 1:
            generator = clip_generator(seed, batch.epoch, key, start, before, "negatives")
            drawn_NJ = generator.integers(count - 1, size=(count, J))
            parts.append(offset + drawn_NJ + (drawn_NJ >= np.arange(count)[:, None]))
        else:
            parts.append(np.full((count, J), offset))
        offset += count
    return np.concatenate(parts)


def gumbel_like(x: Tensor) -> Tensor:
    """Return standard Gumbel noise in the shape of `x`."""
    return -torch.empty_like(x).exponential_().log()


def count_codes(codes_MG: Tensor, V: int) -> Tensor:
    """Return how often each code of each codebook is used, int64 [G, V]."""
    return one_hot(codes_MG, V).sum(0).to(torch.int64)


def one_hot(codes_MG: Tensor, V: int) -> Tensor:
    """Return float32 [M, G, V], 1 at each code; unlike torch's function it does not wait for the device."""
    return torch.zeros(*codes_MG.shape, V, device=codes_MG.device).scatter_(-1, codes_MG[..., None], 1.0)
