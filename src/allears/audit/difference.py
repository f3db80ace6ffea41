"""What is different between two versions of a corpus: clips, verdicts, groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.corpus.versions import Version, changes_between, rows_of, verdicts_file
from allears.params.base import Paths

AXES = ("language", "accent", "gender", "age", "label", "split", "source", "licence", "speaker")
UNKNOWN = "unknown"
_LEAST_HOURS = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """`clips`: came, went, changed, moved, corrected → clip and hours; `verdicts`: clip, before, after, reasons and
    set_aside of now (None: one version was not audited); `groups`: axis, group, hours_before, hours_after, the
    greatest change first.
    """

    before: str
    after: str
    clips: dict[str, pd.DataFrame]
    verdicts: pd.DataFrame | None
    groups: pd.DataFrame

    def verdict_counts(self) -> list[tuple[str, str, str, str]]:
        """Was, is, clips, and with their counts the reasons of now and the rules that are set aside now."""
        rows = []
        for (was, now), part in [] if self.verdicts is None else self.verdicts.groupby(["before", "after"]):
            aside = _counted(part["set_aside"])
            told = "; ".join(filter(None, (_counted(part["reasons"]), aside and f"set aside: {aside}")))
            rows.append((str(was), str(now), f"{len(part):,}", told))
        return rows

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "before": self.before,
            "after": self.after,
            "clips": {name: rows.to_dict("records") for name, rows in self.clips.items()},
            "verdicts": None if self.verdicts is None else self.verdicts.to_dict("records"),
            "groups": self.groups.to_dict("records"),
        }


def difference(paths: Paths, before: Version, after: Version) -> Difference:
    """Compare two versions of the corpus; a clip that was withdrawn is in neither."""
    was, now = (
        table.assign(hours=(table["end_s"] - table["start_s"]) / 3600)
        for table in (rows_of(paths, before), rows_of(paths, after))
    )
    changes = changes_between(was, now)
    columns = ["clip", "hours"]
    clips = {
        name: (was if name == "went" else now).set_index("clip").loc[list(ids)].reset_index()[columns]
        for name, ids in changes.by_name().items()
    }
    return Difference(before.digest, after.digest, clips, _verdicts(paths, before, after), _groups(was, now))


def _verdicts(paths: Paths, before: Version, after: Version) -> pd.DataFrame | None:
    files = [verdicts_file(paths, version.digest) for version in (before, after)]
    if not all(file.exists() for file in files):
        return None
    was, now = (pd.read_parquet(file) for file in files)
    both = was.merge(now, on="clip", suffixes=("_before", ""))
    changed = both[both["verdict"] != both["verdict_before"]]
    table = changed[["clip", "verdict_before", "verdict", "reasons", "set_aside"]].reset_index(drop=True)
    return table.rename(columns={"verdict_before": "before", "verdict": "after"})


def _counted(joined: pd.Series[str]) -> str:
    """Return codes with their counts, `noisy 3, clipped 1`, of a column of joined codes."""
    counts = Counter(code for codes in joined for code in codes.split(",") if code)
    return ", ".join(f"{code} {count}" for code, count in counts.most_common())


def _groups(was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for axis in AXES:
        hours = [table["hours"].groupby(table[axis].fillna(UNKNOWN)).sum() for table in (was, now)]
        joined = pd.concat(hours, axis=1, keys=["hours_before", "hours_after"]).fillna(0.0)
        tables.append(joined.rename_axis("group").reset_index().assign(axis=axis))
    table = pd.concat(tables, ignore_index=True)
    change = (table["hours_after"] - table["hours_before"]).abs()
    order = change[change > _LEAST_HOURS].sort_values(ascending=False, kind="stable").index
    return table.loc[order, ["axis", "group", "hours_before", "hours_after"]].reset_index(drop=True)
