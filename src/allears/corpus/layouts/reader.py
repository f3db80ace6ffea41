"""Interface of the module of a layout with tables. `read.READERS` finds it by the name of its layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from allears.corpus.layouts.columns import Asked, Columns
from allears.corpus.layouts.row import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Facts about a layout that other modules need.

    `needs`: files that a folder must hold, in words. `absolute`: its tables may name files anywhere on the machine.
    `any_ending`: its users convert recordings, so that names on disk may end otherwise than in its tables.
    `free_columns`: its tables may have any columns; those that nothing maps are printed. `required` and `known`:
    columns of its tables, by which it is suggested for a table that no reader understands.
    """

    needs: str
    absolute: bool = False
    any_ending: bool = False
    free_columns: bool = False
    required: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


class Reader(Protocol):
    """A module of `corpus/layouts` that reads the layout of its name."""

    ABOUT: About

    def seen(self, root: Path) -> str:
        """Return the evidence for this layout in `root`; empty where there is none."""

    def columns_of(self, root: Path, asked: Asked) -> Columns:
        """Return the reading of the columns. Raises CorpusError when the label asked for is none of them."""

    def rows(self, root: Path, asked: Asked) -> Rows:
        """Yield every row, and a reject for every line that cannot be one."""
