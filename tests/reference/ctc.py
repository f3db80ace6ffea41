"""CTC by its definition: try every path."""

from __future__ import annotations

from itertools import product


def spelled(path: tuple[int, ...]) -> list[int]:
    """Graves et al. 2006, the map B: walk the path, keep what differs from the step before and is not blank (0)."""
    labels, before = [], 0
    for step in path:
        if step not in (0, before):
            labels.append(step)
        before = step
    return labels


def fewest_frames(labels: list[int], alphabet: int, most: int) -> int:
    """The shortest length at which any path over 0..alphabet spells `labels`."""
    for frames in range(most + 1):
        if any(spelled(path) == labels for path in product(range(alphabet + 1), repeat=frames)):
            return frames
    raise ValueError(f"{labels} do not fit into {most} frames")
