"""Shares, divergences and bootstraps of groups of clips with plain loops."""

import math

import numpy as np


def slow_divergences(shares, target):
    """KL(shares || target) and Jensen-Shannon divergence, bits."""

    def kl(p, q):
        total = 0.0
        for one, other in zip(p, q, strict=True):
            if one > 0 and other == 0:
                return math.inf
            if one > 0:
                total += one * math.log2(one / other)
        return total

    middle = [(one + other) / 2 for one, other in zip(shares, target, strict=True)]
    return kl(shares, target), (kl(shares, middle) + kl(target, middle)) / 2


def slow_gini(values):
    """Mean absolute difference of all pairs over twice the mean."""
    pairs = [abs(one - other) for one in values for other in values]
    return sum(pairs) / len(pairs) / (2 * sum(values) / len(values))


def slow_draws(statistic, speakers, samples, seed):
    """`statistic` of the rows of speakers drawn with replacement, one draw after another."""
    generator = np.random.default_rng(seed)
    names = sorted(set(speakers))
    rows_of = {name: [row for row, speaker in enumerate(speakers) if speaker == name] for name in names}
    found = []
    for _ in range(samples):
        chosen = generator.integers(0, len(names), len(names))
        found.append(statistic([row for place in chosen for row in rows_of[names[place]]]))
    return np.quantile(np.array(found), [0.025, 0.975], axis=0)
