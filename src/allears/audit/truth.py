"""Score the audit against a table of planted defects: columns path, defect, detail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
# Defect → the reasons that find it, where they are called otherwise.
REASONS = {"swapped_text": ("text_mismatch",), "noisy": ("noisy", "loud_pauses")}
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
    planted: pd.DataFrame, manifest: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame,
    representation: pd.DataFrame, policy: Policy,
) -> pd.DataFrame:  # fmt: skip
    """Per defect: how many were planted, flagged and found, precision and recall (COLUMNS).

    A defect that is no reason of the policy, or whose measure has no value, has looked_for False. What was spoiled in
    another way counts as neither right nor wrong: a file of nothing but noise is rightly silent and noisy. A pair of
    duplicates counts as found whichever of the two is flagged. Speaker leaks are counted in speakers, dominant groups
    in groups, else files.
    """
    judged = manifest[["clip", "path", "group"]].merge(verdicts, on="clip", validate="1:1")
    blind = {code for code, rule in policy.root.items() if _is_blind(rule.measure, measures)}
    rows, looked_for = [], reasons_of(policy).keys() - blind
    for defect, part in planted.groupby("defect", sort=True):
        match str(defect):
            case "speaker_leak":
                truth = set(judged.loc[_is_planted(judged["path"], part["path"]), "group"])
                rows.append(_row(str(defect), truth, set(leaking_groups(manifest)), str))
            case name if name.startswith("dominant_"):
                axis = representation[representation["axis"] == name.removeprefix("dominant_")]
                rows.append(_row(name, set(part["detail"]), set(axis.loc[axis["dominant"], "cell"]), str))
            case name if looked_for.intersection(REASONS.get(name, (name,))):
                others = planted.loc[planted["defect"] != defect, "path"]
                rows.append(_files(name, part, judged[~_is_planted(judged["path"], others)]))
            case name:
                rows.append(_not_looked_for(name, len(part)))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _files(defect: str, part: pd.DataFrame, judged: pd.DataFrame) -> dict[str, object]:
    path_of = dict(zip(judged["clip"], judged["path"], strict=True))
    truth = set(judged.loc[_is_planted(judged["path"], part["path"]), "path"])
    lost = set(part.loc[~_is_planted(part["path"], judged["path"]), "path"])
    exact = _any(judged["reasons"], REASONS.get(defect, (defect,)))
    exact |= _any(judged["overridden"], REASONS.get(defect, (defect,)))  # what a person forgave was found
    also = _any(judged["reasons"], _ALSO.get(defect, ()))
    twin = judged["duplicate_of"].map(path_of)
    flagged: set[str] = set()
    for path, other, is_exact, is_also in zip(judged["path"], twin, exact, also, strict=True):
        pair = {path} if pd.isna(other) or "duplicate" not in defect else {path, str(other)}
        if is_exact or (is_also and pair & truth):
            flagged |= (pair & truth) or {path}
    return _row(defect, truth | lost, flagged, str)


def _is_blind(measure: str, measures: pd.DataFrame) -> bool:
    """Whether no clip has a value of a measure; the manifest's own numbers always have."""
    return measure in measures and bool(measures[measure].isna().all())


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


def _any(column: pd.Series[str], reasons: Iterable[str]) -> pd.Series[bool]:
    found = column.isin([])
    for reason in reasons:
        found |= having(column, reason)
    return found
