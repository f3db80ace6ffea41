"""Clips as integer codes, the cell of each axis and the cluster: tables of a million clips are sums.

Legend: `N` clips, `G` cells of an axis, `C` clusters (speakers, else sessions, else recordings). Unknown is a cell of
its own; nothing is inferred about a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from allears.corpus.ages import age_band
from allears.errors import AllearsError
from allears.params.audit import RepresentationParams

UNKNOWN = "unknown"
OTHERS = "all others"
MOST_CELLS = 1_000  # of an axis: a label for nearly every clip says nothing of anybody, and its table would fill a page
CROSS = " × "
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Axis:
    """`cell_N` indexes `cells`, which are sorted and all occur."""

    name: str
    cells: tuple[str, ...]
    cell_N: Ints

    @property
    def known(self) -> Mask:
        """Which cells are not 'unknown'."""
        return np.array([cell != UNKNOWN for cell in self.cells], dtype=bool)

    def sums(self, weights_N: NDArray[np.generic]) -> Floats:
        """Sum of the weights in each cell [G]; a mask is counted."""
        return np.bincount(self.cell_N, weights_N.astype(np.float64), minlength=len(self.cells)).astype(np.float64)

    def distinct(self, code_N: Ints, where_N: Mask | None = None) -> Ints:
        """How many different codes each cell has [G]; negative codes (unknown) and clips not in `where_N` count not."""
        counted = code_N >= 0 if where_N is None else where_N & (code_N >= 0)
        code, cell = code_N[counted], self.cell_N[counted]
        shape = (int(code.max(initial=0)) + 1, len(self.cells))
        pairs = sparse.csc_array((np.ones(len(code), dtype=bool), (code, cell)), shape=shape)  # each pair once
        distinct_G: Ints = np.diff(pairs.indptr).astype(np.int64)
        return distinct_G


@dataclass(frozen=True, slots=True)
class Clusters:
    """`cluster_N` in [0, count)."""

    cluster_N: Ints
    count: int

    def by_cell(self, axis: Axis, weights_N: NDArray[np.generic], where_N: Mask | None = None) -> sparse.csc_array:
        """Sums of the weights of each cluster in each cell, sparse [C, G]."""
        cluster, cell, weights = self.cluster_N, axis.cell_N, weights_N.astype(np.float64)
        if where_N is not None:
            cluster, cell, weights = cluster[where_N], cell[where_N], weights[where_N]
        return sparse.csc_array((weights, (cluster, cell)), shape=(self.count, len(axis.cells)))


def axes_of(manifest: pd.DataFrame, params: RepresentationParams) -> Iterator[Axis]:
    """The axes and then the crossed ones; of those only where something is known of both.

    Of an axis with more than MOST_CELLS the small ones are one cell, OTHERS, unless it is compared with a target.
    """
    single = {name: axis(manifest, name) for name in dict.fromkeys(chain(params.axes, *params.crossed))}
    yield from (
        single[name] if name in params.target else with_others(single[name], MOST_CELLS) for name in params.axes
    )
    for one, other in params.crossed:
        if single[one].known.any() and single[other].known.any():
            yield with_others(crossed(single[one], single[other]), MOST_CELLS)


def axis(manifest: pd.DataFrame, name: str) -> Axis:
    """The axis of a column of the manifest; ages in bands of ten years."""
    return Axis(name, *coded(manifest[name], age_band if name == "age" else str))


def coded(values: pd.Series[str], named: Callable[[str], str | None] = str) -> tuple[tuple[str, ...], Ints]:
    """Cells and the cell of each value, by its name; null is UNKNOWN."""
    code_N, uniques = pd.factorize(values)
    names = [named(value) or UNKNOWN for value in uniques]
    cells, cell_of = np.unique(
        np.array([*names, *[UNKNOWN] * bool((code_N < 0).any())], dtype=object), return_inverse=True
    )
    return tuple(cells.tolist()), cell_of.astype(np.int64)[code_N]  # the code of null, -1, is the last: UNKNOWN


def crossed(one: Axis, other: Axis) -> Axis:
    """Each pair of cells that occurs."""
    pairs, cell_N = np.unique(one.cell_N * len(other.cells) + other.cell_N, return_inverse=True)
    names = [one.cells[pair // len(other.cells)] + CROSS + other.cells[pair % len(other.cells)] for pair in pairs]
    return Axis(one.name + CROSS + other.name, tuple(names), cell_N.astype(np.int64))


def with_others(axis: Axis, most: int) -> Axis:
    """The axis with its `most` largest cells by clips (of equal ones the first), UNKNOWN, and OTHERS for the rest."""
    if len(axis.cells) <= most:
        return axis
    clips_G = axis.sums(np.ones(len(axis.cell_N)))
    names = np.array(axis.cells, dtype=object)
    names[np.argsort(-np.where(axis.known, clips_G, np.inf), kind="stable")[most:]] = OTHERS
    cells, cell_of = np.unique(names, return_inverse=True)
    return Axis(axis.name, tuple(cells.tolist()), cell_of.astype(np.int64)[axis.cell_N])


def clusters_of(manifest: pd.DataFrame) -> Clusters:
    """What the intervals draw: the manifest's `group`."""
    cluster_N, names = pd.factorize(manifest["group"])
    return Clusters(cluster_N.astype(np.int64), len(names))


def hours_of(manifest: pd.DataFrame) -> Floats:
    """Declared hours [N]."""
    return ((manifest["end_s"] - manifest["start_s"]) / 3600).to_numpy(dtype=np.float64)


def in_order_of(manifest: pd.DataFrame, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of `table` in the manifest's order. Raises AllearsError unless both have the same clips."""
    if table["clip"].reset_index(drop=True).equals(manifest["clip"].reset_index(drop=True)):
        return table
    sorted_rows = table.set_index("clip")
    if len(table) != len(manifest) or not sorted_rows.index.is_unique or not manifest["clip"].isin(table["clip"]).all():
        raise AllearsError(
            f"{name} has {len(table):,} clips and the manifest {len(manifest):,}, or they are not the same; the tables "
            "are of different runs: run the audit again"
        )
    return sorted_rows.loc[manifest["clip"]].reset_index()


def reason_masks(reasons: pd.Series[str]) -> dict[str, Mask]:
    """Reason → the clips that have it, from comma-joined reasons; sorted by name."""
    code_N, combinations = pd.factorize(reasons.fillna(""))
    split = [set(each.split(",")) - {""} for each in combinations]
    return {reason: np.array([reason in each for each in split], dtype=bool)[code_N] for reason in sorted(_all(split))}


def _all(split: Iterable[set[str]]) -> set[str]:
    return set(chain.from_iterable(split))
