"""How well a transcript fits a clip, as a CTC model hears it.

Legend: `F` frames, `V` symbols, `T` samples.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from allears.text.characters import BLANK


def contrast(scores_FV: Tensor, target: list[int]) -> float:
    """By how many nats a character the target fits the clip worse than it fits the clip's mean frame.

    Negative log-likelihood of the target (Graves et al. 2006) under the log-probabilities [F, V], minus that under
    their mean over time at each of the F frames: what the order of the frames adds. A weak model, noise and an unusual
    text raise both. Above 0, the text fits the audio no better than if its frames came in any order. Infinite when the
    target does not fit into F frames. ValueError for an empty target.
    """
    if not target:
        raise ValueError("an empty text fits everything")
    heard = negative_log_likelihood(scores_FV, target)
    if math.isinf(heard):
        return math.inf
    mean_FV = scores_FV.exp().mean(0, keepdim=True).log().expand_as(scores_FV)
    return (heard - negative_log_likelihood(mean_FV, target)) / len(target)


def negative_log_likelihood(scores_FV: Tensor, target: list[int]) -> float:
    """Of the target, in nats, over all paths that spell it; infinite when it does not fit into F frames."""
    if len(target) + sum(one == other for one, other in pairwise(target)) > len(scores_FV):
        return math.inf
    loss = functional.ctc_loss(
        scores_FV[:, None].double(),
        torch.tensor([target]),
        torch.tensor([len(scores_FV)]),
        torch.tensor([len(target)]),
        blank=BLANK,
        reduction="sum",
    )
    return float(loss)
