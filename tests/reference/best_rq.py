"""BEST-RQ's targets as the paper writes them (section 3.1): argmin of the distance of normalised vectors."""

import numpy as np


def codes(features, projections, codebooks):
    """[M, K] codes of M frames: projections K × [C, E], codebooks K × [V, E]; one distance at a time, in float64."""
    result = []
    for frame in np.asarray(features, np.float64):
        row = []
        for projection, codebook in zip(projections, codebooks, strict=True):
            projected = frame @ np.asarray(projection, np.float64)
            unit = projected / np.linalg.norm(projected)
            distances = [
                np.linalg.norm(unit - code / np.linalg.norm(code)) for code in np.asarray(codebook, np.float64)
            ]
            row.append(int(np.argmin(distances)))
        result.append(row)
    return np.array(result)
