"""n-gram models of units: what a language model of units has to beat. Pure.

Witten-Bell smoothing (Witten & Bell 1991, "The zero-frequency problem", method C): a context gives as much weight to
the shorter one as it has kinds of successors. The shortest is uniform over the V units.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Context = tuple[int, ...]
START = -1


@dataclass(frozen=True, slots=True)
class NGrams:
    """Counts of what follows each context of up to `order` - 1 units; `units`: V."""

    order: int
    units: int
    successors: dict[Context, Counter[int]]

    def probability(self, unit: int, context: Context) -> float:
        """Return the probability of a unit after a context."""
        shorter = self.probability(unit, context[1:]) if context else 1.0 / self.units
        found = self.successors.get(context)
        if not found:
            return shorter
        total, kinds = found.total(), len(found)
        return (found[unit] + kinds * shorter) / (total + kinds)

    def negative_log(self, sequence: Sequence[int]) -> NDArray[np.float64]:
        """Return the negative logarithm of each unit's probability given those before it [U]."""
        padded = (*[START] * (self.order - 1), *sequence)
        return np.array(
            [
                -np.log(self.probability(unit, tuple(padded[place : place + self.order - 1])))
                for place, unit in enumerate(sequence)
            ]
        )


def fit_ngrams(sequences: Iterable[Sequence[int]], order: int, units: int) -> NGrams:
    """Count n-grams of up to `order` units; a sequence begins after `order` - 1 start marks."""
    successors: dict[Context, Counter[int]] = defaultdict(Counter)
    for sequence in sequences:
        padded = (*[START] * (order - 1), *(int(unit) for unit in sequence))
        for place in range(order - 1, len(padded)):
            for length in range(order):
                successors[tuple(padded[place - length : place])][padded[place]] += 1
    return NGrams(order, units, dict(successors))
