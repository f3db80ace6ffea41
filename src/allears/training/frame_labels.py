"""Frame labels of crops, cut out of the labels of whole clips.

Legend: `B` clips in a batch, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.audio.frames import encoder_frames
from allears.shards.index import Index
from allears.shards.sidecar import Sidecar

NONE = -1  # no label: beyond the clip's end


class FrameLabels:
    """Labels of the clips of `index` by the unit model that `targets` (the handle) names."""

    def __init__(self, targets: dict[str, Any], index: Index) -> None:
        self.sidecar = Sidecar(Path(targets["folder"]), targets["digest"], index)
        self.stack = int(targets["stack"])

    def of(self, keys: Sequence[str], first_B: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
        """Labels [B, F] of crops of up to `samples` samples that begin at frames `first_B`; -1 where there is none."""
        F = max(1, encoder_frames(samples, self.stack))
        labels_BF = np.full((len(keys), F), NONE, dtype=np.int64)
        for row, (key, first) in enumerate(zip(keys, first_B.tolist(), strict=True)):
            found = self.sidecar.get(key)[first : first + F]
            labels_BF[row, : len(found)] = found
        return labels_BF
