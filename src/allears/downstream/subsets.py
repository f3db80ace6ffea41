"""Which labelled clips a share of the labels is: drawn per class, spread over speakers, nested in larger shares.

Legend: `N` clips. Free of torch: the plan of a pipeline asks the same functions as the training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A class of which a share leaves too few clips."""

    name: str
    clips: int
    of: int


def draw_share(classes_N: Sequence[str], groups_N: Sequence[str], share: float, seed: int) -> NDArray[np.int64]:
    """Ascending positions of `share` of every class's clips, at random, as many speakers as possible.

    With one seed a smaller share is part of a larger one. Text has one class for all clips.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the labels is above 0 and at most 1; found {share}")
    counts = {name: share_of(clips, share) for name, clips in Counter(classes_N).items()}
    return _draw(classes_N, groups_N, counts, seed)


def draw_at_most(classes_N: Sequence[str], groups_N: Sequence[str], most: int, seed: int) -> NDArray[np.int64]:
    """Ascending positions of exactly `most` clips (all, when there are no more), classes in proportion.

    Places are shared out by largest remainder, ties by name. Clips are drawn in the order of `draw_share`.
    """
    return _draw(classes_N, groups_N, _places(Counter(classes_N), most), seed)


def share_of(clips: int, share: float) -> int:
    """How many of `clips` a share is, rounded half up."""
    return int(clips * share + 0.5)


def shortage(counts: dict[str, int], share: float, least: int) -> Shortage | None:
    """The class that `share` leaves with the fewest clips, when these are fewer than `least`."""
    if not counts:
        return None
    name = min(counts, key=lambda one: (counts[one], one))
    left = share_of(counts[name], share)
    return Shortage(name=name, clips=left, of=counts[name]) if left < least else None


def _places(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """How many of `most` clips each class gets, in proportion to its count."""
    whole = sum(counts.values())
    if whole <= most:
        return dict(counts)
    places = {name: most * clips // whole for name, clips in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(most * counts[name] % whole), name))
    for name in by_remainder[: most - sum(places.values())]:
        places[name] += 1
    return places


def _draw(classes_N: Sequence[str], groups_N: Sequence[str], counts: Mapping[str, int], seed: int) -> NDArray[np.int64]:
    """Ascending positions of `counts` clips of each class."""
    classes, groups = np.asarray(classes_N, dtype=object), np.asarray(groups_N, dtype=object)
    taken = []
    for number, name in enumerate(sorted(set(classes_N))):
        (members,) = np.nonzero(classes == name)
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
        taken.append(_spread(members, groups[members], generator)[: counts[name]])
    return np.sort(np.concatenate(taken)) if taken else np.zeros(0, dtype=np.int64)


def _spread(
    members: NDArray[np.int64], groups: NDArray[np.object_], generator: np.random.Generator
) -> NDArray[np.int64]:
    """`members` in an order that takes one clip of each group (groups shuffled), then a second one of each, …"""
    shuffled = generator.permutation(len(members))
    turn: dict[object, int] = {}
    rounds, ranks = np.zeros(len(members), dtype=np.int64), np.zeros(len(members), dtype=np.int64)
    first: dict[object, int] = {}
    for place, position in enumerate(shuffled):
        group = groups[position]
        rounds[place] = turn[group] = turn.get(group, -1) + 1
        ranks[place] = first.setdefault(group, len(first))
    return members[shuffled[np.lexsort((ranks, rounds))]]
