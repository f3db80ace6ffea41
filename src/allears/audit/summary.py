"""The audit in numbers that add up, and its findings in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.audit import curation, leakage, licences, representation
from allears.audit.policy import count_reasons, having, reasons_of
from allears.errors import AllearsError
from allears.params.audit import AuditParams
from allears.params.policy import Policy
from allears.types import SPLITS

VERDICTS = ("keep", "soft", "hard")


@dataclass(frozen=True, slots=True)
class Tables:
    """What the summary is made of, all in the manifest's order but the quarantine and the representation."""

    manifest: pd.DataFrame
    quarantine: pd.DataFrame
    measures: pd.DataFrame
    verdicts: pd.DataFrame
    selection: pd.DataFrame
    representation: pd.DataFrame


def summarise(tables: Tables, params: AuditParams, policy: Policy, corpus: str, version: str) -> dict[str, Any]:
    """The JSON-like summary of an audit. Raises AllearsError when clips in are not kept + soft + hard."""
    table = _joined(tables)
    by_verdict = {name: _counts(table[table["verdict"] == name]) for name in VERDICTS}
    if sum(count["clips"] for count in by_verdict.values()) != len(tables.manifest):
        raise AllearsError(
            f"corpus '{corpus}': {len(tables.manifest)} clips went in, but the verdicts cover {by_verdict}; "
            "this is a bug in allears, please report it"
        )
    hours_C = table[table["keep"]].groupby("group")["hours"].sum().to_numpy()
    summary = {
        "corpus": corpus,
        "version": version,
        "policy": params.policy,
        "total": _counts(table),
        "verdicts": by_verdict,
        "selected": _counts(table[table["keep"]])
        | {"effective_clips": curation.effective_clips(table["weight"].to_numpy())},
        "splits": {name: _split(table[table["split"] == name]) for name in SPLITS},
        "reasons": _reasons(table, policy),
        "overrides": _overrides(table),
        "quarantine": {str(k): int(v) for k, v in tables.quarantine["reason"].value_counts().items()},
        "leaking_groups": leakage.leaking_groups(tables.manifest),
        "speaker_hours": {
            "gini": representation.gini(hours_C),
            "top_percent_share": representation.top_share(hours_C),
        },
        "axes": representation.axis_facts(tables.representation),
        "licences": _licences(table),
    }
    return summary | {"findings": findings(summary, params)}


def findings(summary: dict[str, Any], params: AuditParams) -> list[dict[str, str]]:
    """What a reader should know first: level `stop`, `warn` or `note`, and a sentence."""
    found = [*_about_licences(summary, params), *_about_clips(summary), *_about_decisions(summary)]
    found += _about_people(summary, params)
    order = ("stop", "warn", "note")
    return sorted(found, key=lambda finding: order.index(finding["level"]))


def _about_licences(summary: dict[str, Any], params: AuditParams) -> list[dict[str, str]]:
    found = []
    for reason in ("licence_unknown", "licence_denied"):
        if facts := summary["reasons"].get(reason):
            text = f"{_clips(facts['clips'])} may not be used: {facts['means']}."
            if reason == "licence_unknown":
                names = [row["licence"] for row in summary["licences"]]
                unknown = [name for name in names if licences.standing(name, params.licences) == "unknown"]
                text += f" The {licences.how_to_declare(summary['corpus'], unknown, params.licences)}."
            found.append(_finding("warn", text))
    return found


def _about_decisions(summary: dict[str, Any]) -> list[dict[str, str]]:
    decided, found = summary["overrides"], []
    if decided["kept"] or decided["dropped"]:
        text = f"Decided by a person, against the policy: {decided['kept']:,} kept, {decided['dropped']:,} dropped."
        found.append(_finding("note", text))
    if decided["refused"]:
        reasons = ", ".join(f"{code} {clips:,}" for code, clips in decided["refused"].items())
        who = f"Kept by a person, but out all the same: {_clips(decided['refused_clips'])} ({reasons})."
        found.append(_finding("warn", f"{who} A hard reason and a leaking speaker are not for a person to forgive."))
    return found


def _about_clips(summary: dict[str, Any]) -> list[dict[str, str]]:
    found = []
    if summary["leaking_groups"]:
        names = summary["leaking_groups"]
        text = f"In more than one split: {len(names):,} of {summary['total']['groups']:,} {_who(summary)}"
        found.append(_finding("warn", f"{text}; their clips on the training side are left out."))
    for name, least in (("dev", "tune on"), ("test", "be tested on")):
        if summary["splits"][name]["selected_clips"] == 0:
            found.append(_finding("warn", f"No clip is left to {least}: the {name} split is empty."))
    lost = 1 - summary["selected"]["clips"] / max(summary["total"]["clips"], 1)
    if lost > 0.2:
        found.append(_finding("warn", f"{lost:.0%} of the clips are left out; see the reasons below."))
    silenced = summary["total"]["speakers"] - summary["selected"]["speakers"]
    if silenced:
        found.append(_finding("warn", f"Left out entirely: {silenced:,} of {summary['total']['speakers']:,} speakers."))
    if summary["quarantine"]:
        rows = sum(summary["quarantine"].values())
        found.append(_finding("note", f"{rows:,} listed row(s) were unusable and are in the quarantine."))
    return found


def _about_people(summary: dict[str, Any], params: AuditParams) -> list[dict[str, str]]:
    found = []
    for axis, facts in summary["axes"].items():
        if " × " in axis:
            continue
        found += [
            _finding("warn", f"{axis}: '{cell}' has {share:.0%} of the hours; check how well the others are served.")
            for cell, share in facts["dominant"].items()
        ]
        ratio = params.representation.min_keep_ratio
        found += [
            _finding("warn", f"{axis}: the cut-offs keep '{cell}' less than {ratio} times as often as the best kept.")
            for cell in facts["disparity"]
        ]
    silent = [axis for axis, facts in summary["axes"].items() if facts["disclosed_share"] == 0 and " × " not in axis]
    if silent:
        found.append(_finding("note", f"Nothing is known of: {', '.join(silent)}. Gaps there cannot be seen."))
    if 0 < summary["selected"]["speakers"] < params.assessable.speakers:
        text = f"Only {summary['selected']['speakers']} speakers: no conclusion about groups of people is possible."
        found.append(_finding("warn", text))
    return found


def _finding(level: str, text: str) -> dict[str, str]:
    return {"level": level, "text": text}


def _who(summary: dict[str, Any]) -> str:
    return "speakers" if summary["total"]["speakers"] == summary["total"]["groups"] else "speakers or recordings"


def _clips(count: int) -> str:
    return f"{count:,} clip" + ("" if count == 1 else "s")


def _joined(tables: Tables) -> pd.DataFrame:
    table = tables.manifest[["clip", "split", "speaker", "group", "licence", "source"]].copy()
    table["hours"] = (tables.manifest["end_s"] - tables.manifest["start_s"]) / 3600
    table = table.merge(tables.verdicts, on="clip", validate="1:1")
    return table.merge(tables.selection, on="clip", validate="1:1")


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


def _reasons(table: pd.DataFrame, policy: Policy) -> dict[str, dict[str, Any]]:
    """Reason → clips it applies to, and `counted`: clips whose first reason it is, which add up to soft + hard."""
    first = table["reasons"].map({each: each.split(",")[0] for each in table["reasons"].unique()})
    found = {}
    for reason, what in reasons_of(policy).items():
        has = having(table["reasons"], reason)
        if has.any():
            found[reason] = {
                "verdict": what.verdict,
                "means": what.means,
                "clips": int(has.sum()),
                "hours": float(table.loc[has, "hours"].sum()),
                "counted": int((first == reason).sum()),
                "splits": {name: int((has & (table["split"] == name)).sum()) for name in SPLITS},
                "counted_splits": {name: int(((first == reason) & (table["split"] == name)).sum()) for name in SPLITS},
            }
    return found


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
        for licence, part in table.groupby("licence", sort=True)
    ]
