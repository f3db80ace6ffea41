"""Does it still learn? Codebook use of targets and predictions, and when a run has collapsed. Pure.

Legend: `K` codebooks, `V` codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allears.params.pretrain import GuardParams


def codebook_use(counts_KV: NDArray[np.int64]) -> tuple[float, float]:
    """Return (share of codes that occur, perplexity), means over codebooks.

    Perplexity exp(H(p)) is the effective number of codes: V when all are equally used, 1 when all frames get one.
    """
    p_KV = counts_KV.astype(np.float64) / np.maximum(counts_KV.sum(1, keepdims=True), 1)
    entropy_K = -(p_KV * np.log(np.where(p_KV > 0, p_KV, 1.0))).sum(1)
    return float((counts_KV > 0).mean()), float(np.exp(entropy_K).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Since which update predictions are collapsed (None: they are not). Part of a checkpoint."""

    collapsed_since: int | None = None


def check_collapse(
    health: Health, update: int, targets: float, predictions: float, params: GuardParams, warm: int
) -> tuple[Health, str | None, bool]:
    """Look at the perplexities of the updates up to `update`.

    Returns the new health, a sentence when something is wrong, and whether the run must stop. Predictions may be
    poor until update `warm`; after that they may stay collapsed for `patience_updates`.
    """
    limit = params.collapse_perplexity
    if targets <= limit:
        return health, (
            f"the targets collapsed: effectively {targets:.2f} codes up to update {update}, so there is nothing to "
            "predict. The audio may be silence or one constant sound; look at the audit page"
        ), True  # fmt: skip
    if predictions > limit or update < warm:
        return Health(), None, False
    since = update if health.collapsed_since is None else health.collapsed_since
    if update - since >= params.patience_updates:
        return Health(collapsed_since=since), (
            f"the predictions collapsed: effectively {predictions:.2f} codes since update {since}, while the targets "
            f"have {targets:.1f}; the model no longer listens. Lower pretrain.optimiser.learning_rate or raise "
            "warmup_updates; the checkpoint before that is whole"
        ), True  # fmt: skip
    warning = None
    if health.collapsed_since is None:
        warning = (
            f"the model predicts effectively {predictions:.2f} codes at update {update}, the targets have "
            f"{targets:.1f}; if that lasts {params.patience_updates} updates, the run stops"
        )
    return Health(collapsed_since=since), warning, False
