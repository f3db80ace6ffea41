"""Carve the splits that a corpus lacks, by whole groups, and whole sessions where that can be: a pure function of the
groups', sessions', recordings' and strata's names, a seed, and of where groups that are known already are.

A *unit* is carved as one: the groups that sessions or recordings link (both speakers of a call, and whoever called
them), or a group by itself. A *stratum* is what a split must not lack or be alone with: a source and a language.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

Stratum = tuple[str, ...]


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
    strata_N: Sequence[Stratum] | None = None,
) -> tuple[list[str], list[str]]:
    """Splits of N clips and where each comes from ('given' or 'carved').

    `dev` and `test` are shares of the groups (speakers, sessions or recordings). What is given stays. A clip without
    a split goes with its group, else to train; then a missing dev or test is carved from the groups that are in train
    only. Given three groups or more, none of the three stays empty.

    `known` groups stay where they are, even where the shares are others by now: a test speaker must not come to train.
    New groups are carved until the shares are those of all groups, as far as they go.

    Where `sessions_N` or `recordings_N` name some, groups that share one are carved together (`units`), so the shares
    are of these. Where `strata_N` names them, each stratum is carved by itself: one with enough units gives at least
    one to each missing split, and a smaller one keeps a unit in train before it gives any.
    """
    nobody: list[str | None] = [None] * len(groups_N)
    here = {group: known[group] for group in groups_N if group in known} if known else {}
    given = {split for split in splits_N if split}
    wanted = {name: share for name, share in (("dev", dev), ("test", test)) if name not in given}
    unit_of = units(splits_N, groups_N, sessions_N or nobody, here, max(dev, test), recordings_N, least=len(wanted) + 1)
    units_N = [unit_of[group] for group in groups_N]
    home, pool = _homes(splits_N, units_N, known := {unit_of[group]: split for group, split in here.items()})
    given_units = {unit for split, unit in zip(splits_N, units_N, strict=True) if split}
    moved = {unit: known[unit] for unit in pool if known.get(unit, "train") != "train"}
    held = moved | {unit: split for unit, split in home.items() if unit not in given_units and split != "train"}
    stratum_of = _strata(units_N, strata_N)
    sizes, groups_of = Counter(unit_of.values()), Counter(stratum_of[unit] for unit in unit_of.values())
    large, rest = _lots(sorted(pool | held.keys()), stratum_of, least=len(wanted) + 1)
    for lot in (*large, rest):
        fits = min(dev, test) * sum(groups_of[stratum] for stratum in {stratum_of[unit] for unit in lot})
        new = _in_order((unit for unit in lot if unit in pool and unit not in known), sizes, fits, seed)
        if lot is rest:
            spare, others = _parted(new, Counter(stratum_of[unit] for unit in lot if unit not in held), stratum_of)
            new = spare if large else spare + others
        there = Counter(held[unit] for unit in lot if unit in held)
        for name, count in _counts(len(lot), wanted).items():
            missing = max(count - there[name], 0)
            moved |= dict.fromkeys(new[:missing], name)
            new = new[missing:]
    chosen = [_choose(split, moved.get(unit), home[unit]) for split, unit in zip(splits_N, units_N, strict=True)]
    return [split for split, _ in chosen], [origin for _, origin in chosen]


def units(
    splits_N: Sequence[str | None], groups_N: Sequence[str], sessions_N: Sequence[str | None], known: Mapping[str, str],
    max_share: float, recordings_N: Sequence[str | None] | None = None, least: int = 1,
) -> dict[str, str]:  # fmt: skip
    """Group → its unit, called by the first name in it.

    Groups that sessions or recordings link are one unit, but for those that are in more than one split already (given
    or `known`): each is on its own. So are those that sessions link and that are more than `max_share` of all groups,
    as where a session is a day or a room; a recording is one piece of audio, however many speak in it.

    Where fewer than `least` units without a held-out split were left, recordings alone link, then sessions alone.
    """
    given: dict[str, set[str]] = {}
    for group, split in zip(groups_N, splits_N, strict=True):
        given.setdefault(group, set()).update([split] if split else [])

    def in_one_split(lot: list[str]) -> bool:
        fixed = set().union(*(given[group] for group in lot))
        carved = {known[group] for group in lot if group in known}
        return len(carved if carved and fixed <= {"train"} else carved | fixed) <= 1  # given train may be carved from

    def join(recordings_N: Sequence[str | None] | None, sessions_N: Sequence[str | None]) -> dict[str, str]:
        return _joined(groups_N, recordings_N, sessions_N, in_one_split, max_share * len(given))

    nobody = [None] * len(groups_N)
    held_out = {group for group, splits in given.items() if splits - {"train"}}
    if recordings_N is not None and any(recordings_N):
        for sessions in (sessions_N, nobody):
            unit_of = join(recordings_N, sessions)
            if len(set(unit_of.values()) - {unit_of[group] for group in held_out}) >= least:
                return unit_of
    return join(None, sessions_N)


def _joined(
    groups_N: Sequence[str], recordings_N: Sequence[str | None] | None, sessions_N: Sequence[str | None],
    may_join: Callable[[list[str]], bool], max_groups: float,
) -> dict[str, str]:  # fmt: skip
    """Group → its unit: by recordings first, then these by sessions, of at most `max_groups` groups."""
    unit_of = {group: group for group in groups_N}
    members: dict[str, list[str]] = {}
    for lot in _linked(zip(groups_N, recordings_N, strict=True)) if recordings_N else ():
        unit_of |= dict.fromkeys(lot, min(lot)) if may_join(lot) else {}
    for group, unit in unit_of.items():
        members.setdefault(unit, []).append(group)
    for names in _linked(zip((unit_of[group] for group in groups_N), sessions_N, strict=True)):
        lot = [group for name in names for group in members[name]]
        if may_join(lot) and len(lot) <= max_groups:
            unit_of |= dict.fromkeys(lot, min(names))
    return unit_of


def _linked(pairs: Iterable[tuple[str, str | None]]) -> list[list[str]]:
    """The groups, those together that share a session, or share one with a group that does."""
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


def _homes(
    splits_N: Sequence[str | None], units_N: Sequence[str], known: Mapping[str, str]
) -> tuple[dict[str, str], set[str]]:
    """Unit → the split that is given for it first, else `known`, else train; and the units of train alone."""
    home: dict[str, str] = {}
    mixed: set[str] = set()
    for split, unit in zip(splits_N, units_N, strict=True):
        if split and home.setdefault(unit, split) != split:
            mixed.add(unit)
    for unit in units_N:
        home.setdefault(unit, known.get(unit, "train"))
    return home, {unit for unit, split in home.items() if split == "train" and unit not in mixed}


def _strata(units_N: Sequence[str], strata_N: Sequence[Stratum] | None) -> dict[str, Stratum]:
    """Unit → the stratum of most of its clips, of equal ones the first by name."""
    if strata_N is None:
        return dict.fromkeys(units_N, ())
    clips = Counter(zip(units_N, strata_N, strict=True))
    found: dict[str, Stratum] = {}
    for (unit, stratum), _ in sorted(clips.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(unit, stratum)
    return found


def _lots(units: Iterable[str], stratum_of: Mapping[str, Stratum], least: int) -> tuple[list[list[str]], list[str]]:
    """The units of each stratum that has `least` of them or more, and those of all other strata together."""
    by_stratum: dict[Stratum, list[str]] = {}
    for unit in units:
        by_stratum.setdefault(stratum_of[unit], []).append(unit)
    large = [lot for lot in by_stratum.values() if len(lot) >= least]
    return large, [unit for lot in by_stratum.values() if len(lot) < least for unit in lot]


def _in_order(new: Iterable[str], sizes: Mapping[str, int], fits: float, seed: int) -> list[str]:
    """The order in which `new` units leave train: as drawn, but those of more groups than a split is to have last."""
    return sorted(new, key=lambda unit: (max(sizes[unit] - fits, 0.0), _draw(unit, seed)))


def _parted(
    new: Iterable[str], in_train: Counter[Stratum], stratum_of: Mapping[str, Stratum]
) -> tuple[list[str], list[str]]:
    """Units that may leave train so that their strata stay in it, and the others."""
    left, spare, others = in_train.copy(), list[str](), list[str]()
    for unit in new:
        may_leave = left[stratum_of[unit]] > 1
        left[stratum_of[unit]] -= may_leave
        (spare if may_leave else others).append(unit)
    return spare, others


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
