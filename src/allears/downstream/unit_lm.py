"""Use of a language model of units: the likelihood of sequences, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from allears.objectives.next_unit import clip_mask, pack

BATCH_UNITS = 4096


@torch.inference_mode()
def negative_log(lm: Any, sequences: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    """Return the negative log probability of each unit given those before it [U], of each sequence."""
    found: list[NDArray[np.float64]] = []
    begin = 0
    while begin < len(sequences):
        end, units = begin, 0
        while end < len(sequences) and (end == begin or units + len(sequences[end]) <= BATCH_UNITS):
            units += len(sequences[end])
            end += 1
        found += _score(lm, sequences[begin:end])
        begin = end
    return found


def _score(lm: Any, sequences: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    packed = pack(sequences, int(lm.config.max_position_embeddings), start=int(lm.config.bos_token_id))
    clips_NM = torch.from_numpy(packed["clips"])
    logits_NMV = lm(
        input_ids=torch.from_numpy(packed["tokens"]), attention_mask=clip_mask(clips_NM),
        position_ids=torch.from_numpy(packed["positions"]), use_cache=False,
    ).logits  # fmt: skip
    inside_K = np.flatnonzero(packed["clips"] >= 0)
    logits_KV = logits_NMV.flatten(0, 1)[torch.from_numpy(inside_K)].double()
    nll_K = functional.cross_entropy(logits_KV, torch.from_numpy(packed["targets"]), reduction="none").numpy()
    clip_K = packed["clips"].reshape(-1)[inside_K]
    return [nll_K[clip_K == place] for place in range(len(sequences))]


@torch.inference_mode()
def sample(lm: Any, units: int, seed: int = 0, temperature: float = 1.0) -> list[int]:
    """Return so many units drawn from the model."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [int(lm.config.bos_token_id)]
    for _ in range(units):
        logits_V = lm(input_ids=torch.tensor([tokens])).logits[0, -1, : int(lm.config.bos_token_id)]
        tokens.append(int(torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=generator)))
    return tokens[1:]
