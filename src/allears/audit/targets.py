"""What a corpus is compared with: equal shares, a census, the traffic that is expected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import entropy

from allears.audit.groups import CROSS, UNKNOWN
from allears.errors import CorpusError
from allears.storage.files import storage_error

UNIFORM = "uniform"
COLUMNS = ("axis", "cell", "share")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Target:
    """`name` is 'uniform' or the table's file name; `shares` cell → share, None for equal ones."""

    name: str
    shares: dict[str, float] | None

    def cells(self, present: Sequence[str]) -> list[str]:
        """The known cells of the corpus and those of the target, sorted."""
        return sorted({*present, *(self.shares or ())} - {UNKNOWN})

    def wanted(self, cells: Sequence[str]) -> Floats:
        """The share wanted of each of `cells`: equal ones, or those of the table, 0 where it has none."""
        if self.shares is None:
            return np.full(len(cells), 1 / max(len(cells), 1))
        return np.array([self.shares.get(cell, 0.0) for cell in cells])


def read(where: str, axis: str) -> Target:
    """The target of `axis`: 'uniform', or the path of a CSV with the columns axis, cell, share.

    Shares are divided by their sum, so people or per cent will do; a row 'unknown' is left out: people who do not tell
    are no group to aim at. Raises CorpusError with the line and the reason.
    """
    if where == UNIFORM:
        return Target(UNIFORM, None)
    rows = _table(Path(where))
    rows = rows[(rows["axis"].map(_axis_name) == axis) & (rows["cell"] != UNKNOWN)]
    if rows.empty:
        raise CorpusError(f"target {where}: no row for the axis '{axis}'. Expected columns {', '.join(COLUMNS)}")
    shares: dict[str, float] = {}
    for line, cell, text in zip(rows.index + 2, rows["cell"].map(_cell_name), rows["share"], strict=True):
        number = pd.to_numeric(text, errors="coerce")
        if not (np.isfinite(number) and number >= 0):
            raise CorpusError(f"target {where}, line {line}: the share of '{cell}' is '{text}'; expected a number ≥ 0")
        if cell in shares:
            raise CorpusError(f"target {where}, line {line}: '{cell}' is there twice for the axis '{axis}'")
        shares[cell] = float(number)
    total = sum(shares.values())
    if total <= 0:
        raise CorpusError(f"target {where}: the shares of the axis '{axis}' add up to 0")
    return Target(Path(where).name, {cell: share / total for cell, share in shares.items()})


def kl_divergence(hours_SG: Floats, target_G: Floats) -> Floats:
    """Kullback–Leibler divergence of the shares of the hours from the target, bits [S]; NaN without hours.

    Infinite where the corpus has a cell that the target has not.
    """
    with np.errstate(invalid="ignore"):
        divergence: Floats = entropy(hours_SG, target_G, base=2, axis=-1)
    return divergence


def js_divergence(hours_SG: Floats, target_G: Floats) -> Floats:
    """Jensen–Shannon divergence (Lin 1991), bits [S]: 0 the same shares, 1 no cell in common; NaN without hours.

    Not the square of scipy's `jensenshannon`: it is NaN where rounding leaves the sum under its root below zero.
    """
    with np.errstate(invalid="ignore"):
        share_SG = hours_SG / hours_SG.sum(axis=-1, keepdims=True)
    middle_SG = (share_SG + target_G) / 2
    return (
        kl_divergence(share_SG, middle_SG) + kl_divergence(np.broadcast_to(target_G, share_SG.shape), middle_SG)
    ) / 2


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype="string", keep_default_na=False)
    except FileNotFoundError as error:
        raise CorpusError(
            f"target {path}: there is no such file. Expected 'uniform' or the path of a CSV with the columns "
            f"{', '.join(COLUMNS)}, from the project's folder"
        ) from error
    except OSError as error:
        raise storage_error(path, error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise CorpusError(f"target {path}: this is no CSV in UTF-8 ({str(error).strip()})") from error
    table.columns = [str(name).strip() for name in table.columns]
    if missing := [name for name in COLUMNS if name not in table.columns]:
        found = ", ".join(table.columns)
        raise CorpusError(
            f"target {path}: the column {missing[0]} is missing; expected {', '.join(COLUMNS)}, found {found}"
        )
    return pd.DataFrame({name: table[name].str.strip() for name in COLUMNS})


def _axis_name(text: str) -> str:
    return re.sub(r"\s+[x×]\s+", CROSS, text)


def _cell_name(text: str) -> str:
    """As people type it → as the tables write it: '20-29' → '20–29', ' x ' → ' × '."""
    return re.sub(r"\b(\d+)-(\d+)\b", r"\1–\2", re.sub(r"\s+[x×]\s+", CROSS, text))
