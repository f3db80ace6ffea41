"""A cluster bootstrap with plain loops."""

import numpy as np


def slow_clustered_interval(errors, totals, groups, *, samples, seed):
    generator = np.random.default_rng(seed)
    names = sorted(set(groups))
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    rates = []
    for _ in range(samples):
        rows = generator.integers(0, len(errors), len(errors))
        chosen = generator.integers(0, len(names), len(names))
        top = bottom = 0.0
        for name in (names[i] for i in chosen):
            block = np.ix_(rows, members[name])
            top += errors[block].sum()
            bottom += totals[block].sum()
        rates.append(top / bottom)
    return errors.sum() / totals.sum(), np.quantile(rates, 0.025), np.quantile(rates, 0.975)
