"""The audit's page. Its first screen answers "can I train on this?"; all else says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.audio.picture import BRIGHTEST_DBFS, DARKEST_DBFS
from allears.audit.measuring import TEXTS
from allears.audit.policy import reasons_of
from allears.params.audit import AuditParams
from allears.params.policy import Policy
from allears.reporting import (
    audit_curation,
    audit_listen,
    audit_people,
    audit_speakers,
    audit_splits,
    audit_suspect,
    audit_texts,
    policy_sections,
)
from allears.reporting import audit_sections as sections
from allears.reporting.audit_clips import clips_json
from allears.reporting.html import page, written
from allears.reporting.statements import gap_lines
from allears.reporting.truth import truth_table

MIN_TRAIN_HOURS = 1.0  # below, the answer says that it is little; recipes that learn anything heard hours
_SHOWN = (
    "clip",
    "path",
    "member",
    "channel",
    "start_s",
    "end_s",
    "file_duration_s",
    "text",
    "label",
    "language",
    "speaker",
    "source",
    "split",
    "sample_rate_hz",
    "channels",
)  # of the manifest; fmt: skip


@dataclass(frozen=True, slots=True)
class AuditData:
    """All that the page shows: the audit's tables and its summary."""

    manifest: pd.DataFrame
    measures: pd.DataFrame
    verdicts: pd.DataFrame
    duplicates: pd.DataFrame
    representation: pd.DataFrame
    disparity: pd.DataFrame
    curation_table: pd.DataFrame
    truth_scores: pd.DataFrame
    exhibits: pd.DataFrame
    summary: dict[str, Any]
    decided: pd.DataFrame


def render(data: AuditData, params: AuditParams, policy: Policy) -> str:
    """The page as one HTML string that needs nothing else."""
    summary = data.summary
    table = data.manifest[list(_SHOWN)].merge(data.measures.drop(columns=list(TEXTS)), on="clip")
    table = table.merge(data.verdicts, on="clip")
    means = {code: reason.means for code, reason in reasons_of(policy).items()}
    listed, rows = clips_json(table, data.exhibits, params.listen.table_rows)
    return page(
        "audit.html",
        scripts=("listen.js", "clips.js", "find.js"),
        title=f"Audit of {summary['corpus']}",
        corpus=summary["corpus"],
        version=summary["version"][:12],
        policy_name=summary["policy"],
        answer=answer(summary),
        cards=_cards(summary),
        findings=summary["findings"],
        set_aside=audit_suspect.rules(summary, data.exhibits, table, params.listen.max_s),
        **audit_speakers.context(table),
        reasons=sections.reasons(summary),
        splits=sections.splits(summary),
        **audit_splits.context(summary),
        quarantine=sections.quarantine(summary),
        gaps=gap_lines(summary["gaps"]),
        axes=sections.axes(data.representation, summary["axes"]),
        unknown_axes=sections.unknown_axes(summary["axes"]),
        cluster_name=_cluster_name(summary),
        assessable=params.assessable,
        balance=audit_people.balance(summary["axes"]),
        against_target=audit_people.against_target(data.representation),
        disparity_line=audit_people.disparity_line(
            data.disparity, summary["disparity"], params.representation.min_keep_ratio
        ),
        disparity_warnings=audit_people.disparity_warnings(summary["disparity"]),
        removed=audit_people.removed(data.disparity),
        curation_line=audit_curation.line(params.curation),
        curation_whole=audit_curation.whole(data.curation_table),
        curation_axes=audit_curation.by_axis(data.curation_table),
        speaker_line=_speaker_line(summary),
        sound=policy_sections.sound(table, policy),
        quality=sections.quality(table),
        has_texts=bool(data.manifest["text"].notna().any()),
        judged=audit_texts.judged(data.measures),
        doubtful=audit_texts.doubtful(summary),
        copies=sections.copies(data.duplicates, data.manifest),
        copies_line=_copies_line(data.duplicates),
        leak_lines=_leak_lines(summary),
        licences=sections.licences(summary),
        listen=audit_listen.groups(data.exhibits, table, params.listen.max_s, means),
        pairs=audit_listen.pairs(data.exhibits, table, params.listen.max_s, means),
        darkest=f"{DARKEST_DBFS:g}",
        brightest=f"{BRIGHTEST_DBFS:g}",
        clips_json=listed,
        table_line=_table_line(summary, rows),
        decisions=policy_sections.decisions(data.decided, table),
        truth=truth_table(data.truth_scores),
        methods=policy_sections.methods(policy, params, summary["policy"]),
    )


def answer(summary: dict[str, Any]) -> dict[str, str]:
    """Level (yes, care, no), headline and one sentence."""
    selected, total = summary["selected"], summary["total"]
    train = summary["splits"]["train"]
    warnings = sum(finding["level"] != "note" for finding in summary["findings"])
    text = (
        f"{selected['clips']:,} of {total['clips']:,} clips ({written(selected['hours'], 'hours')} of "
        f"{written(total['hours'], 'hours')}) pass; "
    )
    if train["selected_clips"] == 0:
        text += "none of them is for training."
        return {"level": "no", "headline": "No: nothing is left to train on.", "text": text}
    who = _people(train["selected_speakers"], train["selected_groups"])
    text += f"{written(train['selected_hours'], 'hours')} from {who} are for training."
    if train["selected_hours"] < MIN_TRAIN_HOURS:
        headline = "For a first look: under an hour to train on."
        return {"level": "care", "headline": headline, "text": text}
    if warnings:
        things = "one thing" if warnings == 1 else f"{warnings} things"
        return {"level": "care", "headline": f"Yes, with {things} to look at.", "text": text}
    return {"level": "yes", "headline": "Yes.", "text": text}


def _cards(summary: dict[str, Any]) -> list[dict[str, str]]:
    selected, splits = summary["selected"], summary["splits"]
    left_out = summary["left_out"]
    speakers = selected["speakers"]
    cards = [
        ("clips selected", written(selected["clips"], "count")),
        ("speakers" if speakers else "recordings or sessions", written(speakers or selected["groups"], "count")),
        ("hours for training", written(splits["train"]["selected_hours"], "hours")),
        ("hours held out", written(sum(splits[name]["selected_hours"] for name in ("dev", "test")), "hours")),
        ("left out, softly", written(left_out["soft"], "count")),
        ("refused, hard", written(left_out["hard"], "count")),
    ]
    if left_out["curation"]:
        cards.append(("left out by the curation", written(left_out["curation"], "count")))
    if sum(summary["quarantine"].values()):
        cards.append(("quarantined before", written(sum(summary["quarantine"].values()), "count")))
    return [{"name": name, "value": value} for name, value in cards]


def _people(speakers: int, groups: int) -> str:
    if speakers:
        return f"{speakers:,} speakers" if speakers > 1 else "one speaker"
    return f"{groups:,} recordings or sessions (no speaker is known)"


def _cluster_name(summary: dict[str, Any]) -> str:
    total = summary["total"]
    if total["speakers"] == 0:
        return "sessions or recordings, because no speaker is known"
    return "speakers" if total["speakers"] == total["groups"] else "speakers (else sessions, else recordings)"


def _speaker_line(summary: dict[str, Any]) -> str:
    facts, selected = summary["speaker_hours"], summary["selected"]
    who = "speakers" if selected["speakers"] else "sessions or recordings"
    return (
        f"{selected['groups']:,} {who} are selected. The most talkative one in a hundred (at least one) has "
        f"{written(facts['top_percent_share'], 'percent')} of the hours, the most talkative of all "
        f"{written(facts['top_share'], 'percent')}; Gini coefficient {facts['gini']:.2f} "
        "(0: all speak equally long)."
    )


def _copies_line(duplicates: pd.DataFrame) -> str:
    if duplicates.empty:
        return "No clip is a copy of another: not by bytes, not by decoded samples, not by fingerprint."
    counts = duplicates["kind"].value_counts()
    names = {"byte": "with the same bytes", "pcm": "with the same samples in another file", "reencoded": "re-encoded"}
    parts = [f"{counts[kind]:,} {name}" for kind, name in names.items() if kind in counts]
    return (
        f"Copies of another clip: {', '.join(parts)}. The copy that stays is the held-out one (test before dev before "
        "train), then the first."
    )


def _leak_lines(summary: dict[str, Any]) -> list[str]:
    """Sentences about what is in more than one split, and how many of its clips are still selected."""
    groups, leaks = summary["leaking_groups"], summary["leaks"]
    session, copy, overlap = leaks["session"], leaks["copy"], leaks["overlap"]
    lines = ["No speaker (else session, else recording) is in more than one split."]
    if groups:
        shown = ", ".join(groups[:10]) + (" …" if len(groups) > 10 else "")
        lines = [f"In more than one split: {shown}. {_leaking(leaks['speaker'])}"]
    if session["of"]:
        lines.append(
            f"Sessions in more than one split, with other speakers: {session['sessions']:,} of {session['of']:,}. "
            + (_leaking(session) if session["clips"] else "")
        )
    lines.append(f"Copies of clips of a split that is further held out: {_leaking(copy) if copy['clips'] else 'none.'}")
    if overlap["clips"]:
        lines.append(f"Spans of a file that overlap one of a split that is further held out: {_leaking(overlap)}")
    return lines


def _leaking(facts: dict[str, int]) -> str:
    clips, left = facts["clips"], facts["selected"]
    found = f"{clips:,} clip" + ("" if clips == 1 else "s")
    return f"{found} on the training side, {left or 'none'} of them selected; the test clips stay."


def _table_line(summary: dict[str, Any], rows: int) -> str:
    total, corpus = summary["total"]["clips"], summary["corpus"]
    where = f"the tables measures and verdicts in data/03_primary/{corpus}/ (parquet, joined by clip)"
    if rows == total:
        return f"All {total:,} clips, flagged ones first; with all measures they are in {where}."
    return (
        f"{rows:,} of {total:,} clips: flagged ones, evenly by reason, and some kept ones. All of them are in {where}."
    )
