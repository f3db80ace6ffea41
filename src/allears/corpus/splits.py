"""Carve the splits that a corpus lacks, by whole groups: a pure function of the groups' names, a seed, and of where
groups that are known already are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence


def carve(
    splits_N: Sequence[str | None],
    groups_N: Sequence[str],
    *,
    dev: float,
    test: float,
    seed: int,
    known: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str]]:
    """Splits of N clips and where each comes from ('given' or 'carved').

    `dev` and `test` are shares of the groups (speakers, sessions or recordings). What is given stays. A clip without
    a split goes with its group, else to train; then a missing dev or test is carved from the groups that are in train
    only. Given three groups or more, none of the three stays empty.

    `known` groups stay where they are, even where the shares are others by now: a test speaker must not come to train.
    New groups are carved until the shares are those of all groups, as far as they go.
    """
    known = known or {}
    given = {split for split in splits_N if split}
    given_groups = {group for split, group in zip(splits_N, groups_N, strict=True) if split}
    home: dict[str, str] = {}
    mixed: set[str] = set()
    for split, group in zip(splits_N, groups_N, strict=True):
        if split and home.setdefault(group, split) != split:
            mixed.add(group)
    for group in groups_N:
        home.setdefault(group, known.get(group, "train"))
    wanted = {name: share for name, share in (("dev", dev), ("test", test)) if name not in given}
    pool = sorted((g for g, split in home.items() if split == "train" and g not in mixed), key=lambda g: _draw(g, seed))
    moved = {group: known[group] for group in pool if known.get(group, "train") != "train"}
    there = Counter(moved.values())
    there.update(home[group] for group in set(groups_N) - given_groups if home[group] != "train")
    new = [group for group in pool if group not in known]
    for name, count in _counts(len(pool) + sum(there.values()) - len(moved), wanted).items():
        missing = max(count - there[name], 0)
        moved |= dict.fromkeys(new[:missing], name)
        new = new[missing:]
    chosen = [_choose(split, moved.get(group), home[group]) for split, group in zip(splits_N, groups_N, strict=True)]
    return [split for split, _ in chosen], [origin for _, origin in chosen]


def _choose(given: str | None, moved: str | None, home: str) -> tuple[str, str]:
    if moved is not None:
        return moved, "carved"
    return (given, "given") if given else (home, "carved")


def _counts(groups: int, wanted: dict[str, float]) -> dict[str, int]:
    """How many groups each wanted split gets: its rounded share, at least one, and one group stays in train."""
    counts: dict[str, int] = {}
    left = groups - 1
    for name, share in sorted(wanted.items(), reverse=True):  # test first: a comparison needs it most
        counts[name] = min(max(1, round(share * groups)), max(left, 0))
        left -= counts[name]
    return counts


def _draw(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=16).digest()
