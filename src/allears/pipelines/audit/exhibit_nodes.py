"""The step of `audit` that lets people hear what the figures say."""

from __future__ import annotations

import pandas as pd

from allears.audit import exhibits, listening
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.policy import Policies

FOLDER = "audit_files"  # beside the page


def exhibit_clips(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, duplicate_clips: pd.DataFrame,
    policies: Policies, params: AuditParams, paths: Paths,
) -> pd.DataFrame:  # fmt: skip
    """The worst, borderline, doubled and some good clips, each with a sound and a picture in `audit_files`."""
    policy = policies.chosen(params.policy)
    chosen = exhibits.choose(manifest.frame(exhibits.READS), measures, verdicts, duplicate_clips, params, policy)
    failed = measures.loc[measures["failed_reason"].notna(), ["clip", "failed_message"]]
    playable = set(chosen["clip"]) - set(failed["clip"])
    table = manifest.frame(REF_COLUMNS)
    studio = listening.Studio(paths.reports / FOLDER, paths.primary / "exhibits.jsonl", params.listen.max_s)
    refs = clip_refs(table[table["clip"].isin(playable)])
    made = listening.excerpts(refs, studio, timeout_s=params.measures.timeout_s, workers=params.measures.workers)
    shown = chosen.merge(made, on="clip", how="left").merge(failed, on="clip", how="left")
    return shown.assign(problem=shown["problem"].fillna(shown["failed_message"])).drop(columns="failed_message")
