"""Carve the splits that a corpus lacks, by whole groups, and whole sessions where that can be: a pure function of the
groups' and sessions' names, a seed, and of where groups that are known already are.

A *unit* is what is carved as one: the groups that a recording or sessions link (both speakers of a call, and whoever
called them), or a group by itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from allears.types import SPLITS


def carve(
    splits_N: Sequence[str | None],
    groups_N: Sequence[str],
    *,
    dev: float,
    test: float,
    seed: int,
    known: Mapping[str, str] | None = None,
    sessions_N: Sequence[str | None] | None = None,
    recordings_N: Sequence[str | None] | None = None,
) -> tuple[list[str], list[str]]:
    """Splits of N clips and where each comes from ('given' or 'carved').

    `dev` and `test` are shares of the groups (speakers, sessions or recordings). What is given stays. A clip without
    a split goes with its group, else to train; then a missing dev or test is carved from the groups that are in train
    only. Given three groups or more, none of the three stays empty.

    `known` groups stay where they are, even where the shares are others by now: a test speaker must not come to train.
    New groups are carved until the shares are those of all groups, as far as they go.

    Groups that share a session (`sessions_N`) or a recording (`recordings_N`) are carved together (`units`), so the
    shares are of these.
    """
    here = {group: known[group] for group in groups_N if group in known} if known else {}
    nothing: list[str | None] = [None] * len(groups_N)
    unit_of = units(splits_N, groups_N, sessions_N or nothing, here, max(dev, test), recordings_N)
    if len(set(unit_of.values())) < len(SPLITS):
        unit_of = units(splits_N, groups_N, nothing, here, max(dev, test), recordings_N)
    sizes, fits = Counter(unit_of.values()), min(dev, test) * len(unit_of)
    groups_N = [unit_of[group] for group in groups_N]
    known = {unit_of[group]: split for group, split in here.items()}

    def order(unit: str) -> tuple[float, bytes]:  # what is more than a split is to have stays in train, if it can
        return max(sizes[unit] - fits, 0.0), _draw(unit, seed)

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
    pool = sorted((g for g, split in home.items() if split == "train" and g not in mixed), key=order)
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


def units(
    splits_N: Sequence[str | None], groups_N: Sequence[str], sessions_N: Sequence[str | None], known: Mapping[str, str],
    max_share: float, recordings_N: Sequence[str | None] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Group → its unit, called by the first name in it.

    Groups of one recording share audio, so they are one block whatever its size, unless that leaves fewer than three
    blocks to carve from. Blocks that sessions link are one unit, except for those with more than `max_share` of all
    groups, as where a session is a day or a room. Nothing is joined that is in more than one split already (given or
    `known`).
    """
    given: dict[str, set[str]] = {}
    for group, split in zip(groups_N, splits_N, strict=True):
        given.setdefault(group, set()).update([split] if split else [])

    def in_one_split(groups: Iterable[str]) -> bool:
        fixed, carved = set[str](), set[str]()
        for group in groups:
            fixed |= given[group]
            carved |= {known[group]} if group in known else set()
        return len(carved if carved and fixed <= {"train"} else carved | fixed) <= 1  # given train may be carved from

    block_of = {group: group for group in given}
    for lot in _linked(zip(groups_N, recordings_N, strict=True)) if recordings_N else ():
        block_of |= dict.fromkeys(lot, min(lot)) if in_one_split(lot) else {}
    if len(set(block_of.values())) < len(SPLITS):
        block_of = {group: group for group in given}
    groups_of: dict[str, list[str]] = {}
    for group, block in block_of.items():
        groups_of.setdefault(block, []).append(group)
    unit_of: dict[str, str] = {}
    for lot in _linked((block_of[group], session) for group, session in zip(groups_N, sessions_N, strict=True)):
        groups = [group for block in lot for group in groups_of[block]]
        whole = len(groups) <= max_share * len(given) and in_one_split(groups)
        unit_of |= dict.fromkeys(groups, min(lot)) if whole else {group: block_of[group] for group in groups}
    return unit_of


def _linked(pairs: Iterable[tuple[str, str | None]]) -> list[list[str]]:
    """Return the groups in lots: those of a lot share a session (or recording), directly or through others."""
    groups_of: dict[str, list[str]] = {}
    sessions_of: dict[str, list[str]] = {}
    for group, session in dict.fromkeys(pairs):
        sessions_of.setdefault(group, [])
        if session is not None:
            sessions_of[group].append(session)
            groups_of.setdefault(session, []).append(group)
    lots, seen, done = [], set[str](), set[str]()
    for first in sessions_of:
        if first in seen:
            continue
        seen.add(first)
        lot = [first]
        for group in lot:  # grows as it is walked
            for session in sessions_of[group]:
                if session not in done:
                    done.add(session)
                    new = [other for other in groups_of[session] if other not in seen]
                    seen.update(new)
                    lot += new
        lots.append(lot)
    return lots


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
