"""Texts held against their audio by a fine-tuned model: part of the step that measures clips, when a model is named."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from allears.audit import texts
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.text.normalise import normalise

if TYPE_CHECKING:
    from allears.downstream.text_judge import Judge

logger = logging.getLogger(__name__)
COLUMNS = tuple(dict.fromkeys((*REF_COLUMNS, "text", "group")))


def find_judge(params: AuditParams) -> Judge | None:
    """The model that `audit.text_model` names, opened before hours of decoding; None when it names none."""
    if params.text_model is None:
        return None
    from allears.downstream.text_judge import open_judge

    return open_judge(Path(params.text_model))


def fit_texts(manifest: Manifest, judge: Judge | None, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """`texts.FIT_COLUMNS` of every clip, in the manifest's order; what was judged before is read from the journal."""
    if judge is None:
        return texts.without_model(manifest.frame(["clip"])["clip"])
    from allears.downstream.text_judge import MOST_S, Transcribed, judge_texts

    table = manifest.frame(COLUMNS)
    plain = table["text"].map(normalise, na_action="ignore").fillna("")
    why = pd.Series(pd.NA, index=table.index, dtype="string")
    why[judge.learned.has_clips(paths.corpus, table["clip"])] = "trained_on"
    why[table["end_s"] - table["start_s"] > MOST_S] = "too_long"
    why[plain == ""] = "no_text"
    asked = why.isna()
    refs = clip_refs(table[asked])
    items = [Transcribed(ref, text) for ref, text in zip(refs, plain[asked], strict=True)]
    cuts, journal = params.measures, paths.primary / "text_fit.jsonl"
    rows = [
        {"clip": one.item.ref.clip, "failed": one.reason} | (one.result or {})
        for one in judge_texts(items, judge, journal, timeout_s=cuts.timeout_s, workers=cuts.workers)
    ]
    found = pd.DataFrame(rows, columns=["clip", *texts.FIT_NUMBERS, "why", "failed"], index=table.index[asked])
    known = pd.Series(judge.learned.has_groups(paths.corpus, table["group"]), index=table.index)
    said = found["failed"].astype("string").fillna(found["why"].astype("string"))
    yes = known.map({True: "known_speaker", False: "yes"}).astype("string")
    fit = found.reindex(table.index).assign(clip=table["clip"], text_judged=why.fillna(said).fillna(yes))
    counts = fit["text_judged"].value_counts()
    logger.info("texts against audio: %s", ", ".join(f"{clips:,} {name}" for name, clips in counts.items()))
    return fit[list(texts.FIT_COLUMNS)].astype(texts.FIT_TYPES)
