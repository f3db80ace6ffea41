"""What is in two splits, clip by clip and pair by pair: slow and obvious."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RANK = {"train": 0, "dev": 1, "test": 2}


def shared_sessions(
    splits: Sequence[str], groups: Sequence[str], sources: Sequence[str], sessions: Sequence[str | None]
) -> list[bool]:
    """Of each clip: is one of its session held out further, and none of its group?"""
    found = []
    for split, group, source, session in zip(splits, groups, sources, sessions, strict=True):
        others = zip(splits, groups, sources, sessions, strict=True)
        further = [other for other in others if RANK[other[0]] > RANK[split]]
        of_group = any(other[1] == group for other in further)
        found.append(session is not None and not of_group and any(other[2:] == (source, session) for other in further))
    return found


def copies(splits: Mapping[str, str], duplicate_of: Mapping[str, str]) -> list[str]:
    """The clips that are copies, through copies of copies, of one that is held out further."""
    found = []
    for clip, split in splits.items():
        root = clip
        while root in duplicate_of:
            root = duplicate_of[root]
        if RANK[splits[root]] > RANK[split]:
            found.append(clip)
    return found


def linked(groups: Sequence[str], sessions: Sequence[str | None]) -> set[frozenset[str]]:
    """The groups that sessions link, by merging any two sets that touch until none do."""
    lots = [{group} for group in groups]
    lots += [{g for g, s in zip(groups, sessions, strict=True) if s == session} for session in sessions if session]
    while True:
        touching = next(((a, b) for a in lots for b in lots if a is not b and a & b), None)
        if touching is None:
            return {frozenset(lot) for lot in lots}
        one, other = touching
        lots = [lot for lot in lots if lot is not one and lot is not other] + [one | other]


def overlaps(clips: Sequence[tuple[str, str, int | None, float, float]]) -> list[bool]:
    """For each (split, file, channel, start, end), True if it shares audio with one that is held out further, but is
    not the very span of one.
    """
    found = []
    for split, file, channel, start, end in clips:
        further = [other for other in clips if other[1] == file and RANK[other[0]] > RANK[split]]
        is_copy = any(other[2:] == (channel, start, end) for other in further)
        shared = [
            min(end, other_end) - max(start, other_start)
            for _, _, other_channel, other_start, other_end in further
            if channel is None or other_channel is None or channel == other_channel
        ]
        found.append(not is_copy and max(shared, default=0.0) > 1e-3)
    return found
