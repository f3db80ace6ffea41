"""Which of two clips is the better one, where not all can stay."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HIGHER_IS_BETTER = {"snr_db": True, "bandwidth_hz": True, "silence_share": False, "clipped_share": False}
MEASURES = (*HIGHER_IS_BETTER, "is_speech")
_OF_SPEECH = ("snr_db", "bandwidth_hz", "silence_share")  # they say nothing of rain


def quality_score(measures: pd.DataFrame) -> NDArray[np.float64]:
    """In (0, 1], [N]: the mean of a clip's ranks among all given ones by signal-to-noise ratio, bandwidth, silence and
    clipping, the best 1.

    `measures` has the columns MEASURES. A measure that a clip does not have, or that says nothing of it (only speech,
    by `is_speech`, has a noise estimate), counts as the middle, 0.5. Ranks, because the units differ and outliers must
    not decide.
    """
    ranks = []
    for name, ascending in HIGHER_IS_BETTER.items():
        counted = measures[name].where(measures["is_speech"]) if name in _OF_SPEECH else measures[name]
        ranks.append(counted.rank(pct=True, ascending=ascending).fillna(0.5).to_numpy(dtype=np.float64))
    score_N: NDArray[np.float64] = np.mean(ranks, axis=0)
    return score_N


def best_first(score_N: NDArray[np.float64], clips: pd.Series[str]) -> NDArray[np.int64]:
    """The clips' places, best first; equals by the digest of their name: the order of a list decides nothing."""
    tie_N = np.array(
        [int.from_bytes(blake2b(clip.encode(), digest_size=8).digest()) for clip in clips.tolist()], dtype=np.uint64
    )
    return np.lexsort((tie_N, -score_N))
