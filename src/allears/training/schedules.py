"""The learning rate of an update: a pure function, so that a resumed run has no state to restore."""

from __future__ import annotations

import math

from allears.params.pretrain import OptimiserParams


def learning_rate(update: int, first: int, last: int, optimiser: OptimiserParams) -> float:
    """The rate of update number `update` (from 0, since the weights were new) of a run from `first` to `last`.

    Linear from the floor to the peak over the warm-up (at most a quarter of the run), then half a cosine back to the
    floor at the last update. A run that extends another (`first` > 0) does the same again with `restart` of the peak:
    the floor is where the run before it ended, so the rate is continuous, and the second peak is lower because a
    full one would forget (warm restart, arXiv 2308.04014).
    """
    peak = optimiser.learning_rate * (optimiser.restart if first else 1.0)
    floor = min(peak, optimiser.learning_rate * optimiser.floor)
    done, total = update - first, last - first
    warmup = max(1, min(optimiser.warmup_updates, total // 4))
    if done < warmup:
        return floor + (peak - floor) * (done + 1) / warmup
    share = (done + 1 - warmup) / max(1, total - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
