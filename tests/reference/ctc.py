"""CTC by its definition."""

from __future__ import annotations


def spelled(path: tuple[int, ...]) -> list[int]:
    """Graves et al. 2006, the map B: walk the path, keep what differs from the step before and is not blank (0)."""
    labels, before = [], 0
    for step in path:
        if step not in (0, before):
            labels.append(step)
        before = step
    return labels
