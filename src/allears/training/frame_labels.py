"""Frame labels of crops, cut out of the labels of whole clips.

Legend: `B` clips in a batch, `F` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.shards.corpora import Places
from allears.shards.index import Index
from allears.shards.sidecar import Sidecar

NONE = -1  # no label: beyond the clip's end


class FrameLabels:
    """Labels of the clips of all corpora (`indexes`, one each) by the unit model that `targets` (the handle) names."""

    def __init__(self, targets: dict[str, Any], indexes: Sequence[Index]) -> None:
        folders = [targets["folder"], *targets.get("others", ())]
        pairs = zip(folders, indexes, strict=True)
        self.sidecars = [Sidecar(Path(folder), targets["digest"], index) for folder, index in pairs]
        self._places = Places([len(index.clips) for index in indexes])

    def of(self, place_B: NDArray[np.int64], first_B: NDArray[np.int64], F: int) -> NDArray[np.int64]:
        """Return labels [B, F] of crops of up to F frames that begin at frames `first_B`; -1 where there is none.

        `place_B`: of the clips, among those of all corpora.
        """
        labels_BF = np.full((len(place_B), F), NONE, dtype=np.int64)
        for row, (place, first) in enumerate(zip(place_B.tolist(), first_B.tolist(), strict=True)):
            corpus, inner = self._places.of(place)
            sidecar = self.sidecars[corpus]
            found = sidecar.get(sidecar.index.clips[inner])[first : first + F]
            labels_BF[row, : len(found)] = found
        return labels_BF
