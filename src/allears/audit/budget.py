"""Hours shared out among groups, and filled with clips. Legend: `N` clips, `H` holders of room (groups, speakers)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def quotas(available_H: Floats, share_H: Floats, budget: float) -> Floats:
    """The hours of each group, [H]: min(available, level x share) with one level for all, chosen so that they add up to
    the budget, or to all that there is of the groups with a share.

    No other choice of these hours has a smaller total variation distance to the shares: what a group is short of, it
    is short of under any, and no other group is short.
    """
    quota_H, is_open = np.zeros_like(available_H), share_H > 0
    left = min(budget, float(available_H[is_open].sum()))
    while is_open.any():
        level_H = left * share_H / share_H[is_open].sum()
        full = is_open & (available_H <= level_H)
        if not full.any():
            return np.where(is_open, level_H, quota_H)
        quota_H = np.where(full, available_H, quota_H)
        left = max(left - float(available_H[full].sum()), 0.0)
        is_open &= ~full
    return quota_H


def fill(size_N: Floats, holder_N: Ints, room_H: Floats, order_N: Ints) -> NDArray[np.bool_]:
    """Which clips are taken, [N]: in that order, each that still fits into the room of its holder."""
    room, taken = room_H.tolist(), np.zeros(len(size_N), dtype=bool)
    sizes, holders = size_N[order_N].tolist(), holder_N[order_N].tolist()
    for place, size, holder in zip(order_N.tolist(), sizes, holders, strict=True):
        if size <= room[holder]:
            room[holder] -= size
            taken[place] = True
    return taken
