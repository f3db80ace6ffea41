"""The audit in numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from allears.audit import concentration, curation, leakage, texts
from allears.audit.disparity import warnings
from allears.audit.findings import findings
from allears.audit.groups import UNKNOWN, Mask, hours_of, in_order_of, reason_masks
from allears.audit.policy import count_reasons, having, reasons_of
from allears.audit.suspect import SetAside
from allears.corpus.manifest import NO_GAPS, Gaps
from allears.errors import AllearsError
from allears.frames import to_hours
from allears.params.audit import AuditParams
from allears.params.policy import Policy
from allears.types import SPLITS

VERDICTS = ("keep", "soft", "hard")


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables and facts that the summary is made of. `policy_name` says how many of its rules were changed."""

    manifest: pd.DataFrame
    quarantine: pd.DataFrame
    verdicts: pd.DataFrame
    selection: pd.DataFrame
    representation: pd.DataFrame
    representation_axes: pd.DataFrame
    disparity: pd.DataFrame
    comparison: pd.DataFrame
    differences: pd.DataFrame
    gaps: Gaps = NO_GAPS
    licence_words: tuple[str, ...] = ()
    set_aside: Mapping[str, SetAside] = field(default_factory=dict)
    policy_name: str = ""
    signal: Mapping[str, Any] = field(default_factory=dict)


def summarise(tables: Tables, params: AuditParams, policy: Policy, corpus: str, version: str) -> dict[str, Any]:
    """The JSON-like summary of an audit, all extents in hours. Raises AllearsError when clips in are not kept + soft +
    hard.
    """
    table = _joined(tables)
    by_verdict = {name: _counts(table[table["verdict"] == name]) for name in VERDICTS}
    if sum(count["clips"] for count in by_verdict.values()) != len(tables.manifest):
        raise AllearsError(
            f"corpus '{corpus}': {len(tables.manifest)} clips went in, but the verdicts cover {by_verdict}; "
            "this is a bug in allears, please report it"
        )
    selected = table[table["keep"]]
    hours_C = selected.groupby("group")["hours"].sum().to_numpy()
    summary = {
        "corpus": corpus,
        "version": version,
        "policy": tables.policy_name or params.policy,
        "total": _counts(table),
        "verdicts": by_verdict,
        "passed": _counts(table[table["reason"] != "policy"]),
        "selected": _counts(selected) | {"effective_clips": concentration.effective_size(table["weight"].to_numpy())},
        "left_out": _left_out(table),
        "splits": {name: _split(table[table["split"] == name]) for name in SPLITS},
        "reasons": _reasons(table, policy),
        "set_aside": dict(tables.set_aside),
        "signal": dict(tables.signal),
        "curation": _curation(table),
        "overrides": _overrides(table),
        "quarantine": {str(k): int(v) for k, v in tables.quarantine["reason"].value_counts().items()},
        "gaps": {"pauses": to_hours(tables.gaps.pauses_s), "withdrawn": to_hours(tables.gaps.withdrawn_s)},
        "leaking_groups": leakage.leaking_groups(tables.manifest),
        "leaks": _leaks(tables.manifest, tables.verdicts, table),
        "speaker_hours": {
            "gini": concentration.gini(hours_C),
            "top_percent_share": concentration.top_share(hours_C),
            "top_share": float(hours_C.max() / hours_C.sum()) if len(hours_C) else 0.0,
        },
        "axes": axis_facts(tables.representation, tables.representation_axes),
        "disparity": warnings(tables.disparity, params),
        "comparison": {"parts": _records(tables.comparison), "differences": _records(tables.differences)},
        "licences": _licences(table),
        "licence_words": list(tables.licence_words),
        "doubtful_texts": texts.doubtful_texts(tables.manifest),
    }
    return summary | {"findings": findings(summary, params)}


def axis_facts(cells: pd.DataFrame, axes: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Axis → what one line says of it: how much is disclosed, how varied, who dominates, who is missing or few."""
    facts = {}
    by_axis = dict(list(cells.groupby("axis", sort=False)))
    for row in axes.to_dict("records"):
        known = by_axis[row["axis"]]
        known = known[known["cell"] != UNKNOWN]
        there = known[known["clips"] > 0]
        lacking = known[(known["clips"] == 0) & (known["target_share"] > 0)]
        facts[str(row["axis"])] = {str(name): _json(value) for name, value in row.items() if name != "axis"} | {
            "only": str(there["cell"].iloc[0]) if len(there) == 1 else None,
            "dominant": _pairs(there[there["dominant"]], "share"),
            "not_assessable": there.loc[~there["assessable"], "cell"].tolist(),
            "lacking": _pairs(lacking.sort_values("target_share", ascending=False), "target_share"),
            "most_speakers": int(there["clusters"].max()) if len(there) else 0,
        }
    return facts


def _joined(tables: Tables) -> pd.DataFrame:
    columns = ["clip", "split", "speaker", "group", "licence", "source"]
    verdicts = in_order_of(tables.manifest, tables.verdicts, "the table of verdicts")
    selection = in_order_of(tables.manifest, tables.selection, "the selection")
    parts = [
        tables.manifest[columns],
        verdicts[["verdict", "reasons", "override", "overridden"]],
        selection[["keep", "weight", "reason"]],
    ]
    table = pd.concat([part.reset_index(drop=True) for part in parts], axis=1)
    for name in ("split", "speaker", "group", "licence", "source", "verdict", "reason"):
        table[name] = table[name].astype("category")
    return table.assign(hours=hours_of(tables.manifest))


def _leaks(manifest: pd.DataFrame, verdicts: pd.DataFrame, table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the clips that leak by speaker, session, copy or overlap, those of training, and those that leak within the
    selection.
    """
    rows = manifest.reset_index(drop=True)
    kept, train = table["keep"].to_numpy(dtype=bool), (rows["split"] == "train").to_numpy(dtype=bool)
    verdicts = in_order_of(manifest, verdicts, "the table of verdicts").reset_index(drop=True)
    shared, copies = leakage.shared_sessions(rows), leakage.copy_leaks(rows, verdicts["duplicate_of"])
    overlaps = having(verdicts["reasons"], "overlap_leak")  # nobody forgives it, so it is complete
    sessions = rows[["source", "session"]]
    left = rows[kept]
    clips = {
        "speaker": (leakage.leaks(rows), leakage.leaks(left)),
        "session": (shared, leakage.shared_sessions(left)),
        "copy": (copies, copies[kept]),
        "overlap": (overlaps, overlaps[kept]),
    }
    facts = {
        name: {"clips": int(found.sum()), "train": int((found & train).sum()), "selected": int(selected.sum())}
        for name, (found, selected) in clips.items()
    }
    for name, some in (("sessions", sessions[shared]), ("of", sessions.dropna())):
        facts["session"][name] = len(some.drop_duplicates())
    return facts


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "clips": len(table),
        "hours": float(table["hours"].sum()),
        "speakers": int(table["speaker"].nunique()),
        "groups": int(table["group"].nunique()),
    }


def _split(table: pd.DataFrame) -> dict[str, Any]:
    selected = _counts(table[table["keep"]])
    verdicts = {name: int((table["verdict"] == name).sum()) for name in VERDICTS}
    return _counts(table) | {f"selected_{name}": value for name, value in selected.items()} | verdicts


def _left_out(table: pd.DataFrame) -> dict[str, int]:
    """Clips left out by the policy (soft, hard) and by the curation: with those selected they are all clips."""
    policy = table["reason"] == "policy"
    counts = {name: int((policy & (table["verdict"] == name)).sum()) for name in ("soft", "hard")}
    return counts | {"curation": int((~policy & ~table["keep"]).sum())}


def _reasons(table: pd.DataFrame, policy: Policy) -> dict[str, dict[str, Any]]:
    """Reason → clips it applies to, and `counted`: clips whose first reason it is, which add up to soft + hard."""
    masks = reason_masks(table["reasons"])
    first = table["reasons"].map({each: each.split(",")[0] for each in table["reasons"].unique()})
    return {
        reason: {"verdict": what.verdict, "means": what.means}
        | _of_reason(table, masks[reason], (first == reason).to_numpy(dtype=bool))
        for reason, what in reasons_of(policy).items()
        if reason in masks
    }


def _curation(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Curation's reason → clips left out, and `counted`: those without a reason of the policy."""
    clean = (table["verdict"] == "keep").to_numpy(dtype=bool)
    masks = {reason: (table["reason"] == reason).to_numpy(dtype=bool) for reason in curation.MEANINGS}
    return {reason: _of_reason(table, mask, mask & clean) for reason, mask in masks.items() if mask.any()}


def _of_reason(table: pd.DataFrame, has: Mask, counted: Mask) -> dict[str, Any]:
    in_split = {name: (table["split"] == name).to_numpy(dtype=bool) for name in SPLITS}
    return {
        "clips": int(has.sum()),
        "hours": float(table["hours"].to_numpy()[has].sum()),
        "counted": int(counted.sum()),
        "counted_hours": float(table["hours"].to_numpy()[counted].sum()),
        "splits": {name: int((has & mask).sum()) for name, mask in in_split.items()},
        "counted_splits": {name: int((counted & mask).sum()) for name, mask in in_split.items()},
    }


def _overrides(table: pd.DataFrame) -> dict[str, Any]:
    """How many clips a person kept against the policy or dropped, and whose keep had no effect, by reason."""
    wanted = table[table["override"] == "keep"]
    refused = wanted[wanted["reasons"] != ""]
    return {
        "kept": int(((wanted["overridden"] != "") & (wanted["reasons"] == "")).sum()),
        "dropped": int((table["override"] == "drop").sum()),
        "refused_clips": len(refused),
        "refused": count_reasons(refused),
    }


def _licences(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "licence": str(licence),
            "sources": sorted(part["source"].unique().tolist()),
            "selected_clips": int(part["keep"].sum()),
        }
        | _counts(part)
        for licence, part in table.groupby("licence", sort=True, observed=True)
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _json(value) for name, value in row.items()} for row in table.to_dict("records")]


def _pairs(rows: pd.DataFrame, value: str) -> dict[str, float]:
    return {str(cell): float(number) for cell, number in zip(rows["cell"], rows[value], strict=True)}


def _json(value: Any) -> Any:
    """A number that JSON has, or null: KL is infinite where the target lacks a cell."""
    if pd.isna(value) or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
