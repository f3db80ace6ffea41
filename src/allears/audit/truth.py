"""Score the audit against a table of planted defects: columns path, defect, detail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from allears.audit.leakage import leaking_groups
from allears.audit.policy import having, reasons_of
from allears.params.policy import Policy
from allears.storage.files import storage_error

COLUMNS = {
    "defect": "string", "looked_for": "bool", "planted": "int64", "flagged": "int64", "found": "int64",
    "precision": "float64", "recall": "float64", "missed": "string",
}  # fmt: skip
_ALSO = {"reencoded_duplicate": ("pcm_duplicate",)}  # a lossless copy of other bytes


def read(path: Path) -> pd.DataFrame:
    """The truth table, or an empty one when the corpus has none."""
    if not path.exists():
        return pd.DataFrame({"path": [], "defect": [], "detail": []}, dtype="string")
    try:
        return pd.read_csv(path, dtype="string", keep_default_na=False)
    except OSError as error:
        raise storage_error(path, error) from error


def score(
    planted: pd.DataFrame, manifest: pd.DataFrame, verdicts: pd.DataFrame, representation: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """Per defect: how many were planted, flagged and found, precision and recall (COLUMNS).

    A defect that is no reason of the policy has looked_for False. What was spoiled in another way counts as neither
    right nor wrong: a file of nothing but noise is rightly silent and noisy. A pair of duplicates counts as found
    whichever of the two is flagged. Speaker leaks are counted in speakers, dominant groups in groups, else files.
    """
    judged = manifest[["clip", "path", "group"]].merge(verdicts, on="clip", validate="1:1")
    rows, looked_for = [], reasons_of(policy)
    for defect, part in planted.groupby("defect", sort=True):
        match str(defect):
            case "speaker_leak":
                truth = set(judged.loc[_is_planted(judged["path"], part["path"]), "group"])
                rows.append(_row(str(defect), truth, set(leaking_groups(manifest)), str))
            case name if name.startswith("dominant_"):
                axis = representation[representation["axis"] == name.removeprefix("dominant_")]
                rows.append(_row(name, set(part["detail"]), set(axis.loc[axis["dominant"], "cell"]), str))
            case name if name in looked_for:
                others = planted.loc[planted["defect"] != defect, "path"]
                rows.append(_files(name, part, judged[~_is_planted(judged["path"], others)]))
            case name:
                rows.append(_not_looked_for(name, len(part)))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _files(defect: str, part: pd.DataFrame, judged: pd.DataFrame) -> dict[str, object]:
    path_of = dict(zip(judged["clip"], judged["path"], strict=True))
    truth = set(judged.loc[_is_planted(judged["path"], part["path"]), "path"])
    lost = set(part.loc[~_is_planted(part["path"], judged["path"]), "path"])
    exact = having(judged["reasons"], defect) | having(judged["overridden"], defect)  # what a person forgave was found
    also = judged["reasons"].isin([])
    for name in _ALSO.get(defect, ()):
        also |= having(judged["reasons"], name)
    twin = judged["duplicate_of"].map(path_of)
    flagged: set[str] = set()
    for path, other, is_exact, is_also in zip(judged["path"], twin, exact, also, strict=True):
        pair = {path} if pd.isna(other) or "duplicate" not in defect else {path, str(other)}
        if is_exact or (is_also and pair & truth):
            flagged |= (pair & truth) or {path}
    return _row(defect, truth | lost, flagged, str)


def _row(defect: str, truth: set[str], flagged: set[str], name: Callable[[str], str]) -> dict[str, object]:
    found = truth & flagged
    return {
        "defect": defect,
        "looked_for": True,
        "planted": len(truth),
        "flagged": len(flagged),
        "found": len(found),
        "precision": len(found) / len(flagged) if flagged else float("nan"),
        "recall": len(found) / len(truth) if truth else float("nan"),
        "missed": ", ".join(sorted(name(each) for each in truth - flagged)[:5]),
    }


def _not_looked_for(defect: str, planted: int) -> dict[str, object]:
    nothing = {"flagged": 0, "found": 0, "precision": float("nan"), "recall": float("nan"), "missed": ""}
    return {"defect": defect, "looked_for": False, "planted": planted} | nothing


def _is_planted(paths: pd.Series[str], planted: pd.Series[str]) -> pd.Series[bool]:
    """Which manifest paths are in the truth table, whose paths may be relative to a folder above the source."""
    names = set(planted)
    ends = {end for name in names for end in _ends(name)}
    return paths.map(lambda path: path in ends or not names.isdisjoint(_ends(path))).astype(bool)


def _ends(path: str) -> list[str]:
    """`a/b/c` → `a/b/c`, `b/c`, `c`."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]
