"""Steps of `audit`: decode once and measure, find duplicates, judge, represent, select, and say it on one page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from allears.audio.measures import MeasureSpec
from allears.audit import curation, duplicates, measuring, policy, representation, summary, truth
from allears.corpus import versions
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.corpus.withdrawn import Refused, read_tombstones
from allears.params.audit import AuditParams
from allears.params.base import Paths


def measure_clips(manifest: Manifest, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """One row of measures a clip; what was measured before is read from the journal and not decoded again."""
    cuts = params.measures
    spec = MeasureSpec(
        clip_level=cuts.clip_level,
        silence_dbfs=cuts.silence_dbfs,
        silence_below_loud_db=cuts.silence_below_loud_db,
        bandwidth_drop_db=cuts.bandwidth_drop_db,
    )
    refs = clip_refs(manifest.frame(REF_COLUMNS))
    journal = paths.primary / "measures.jsonl"
    return measuring.measure_all(refs, spec, journal, timeout_s=cuts.timeout_s, workers=cuts.workers)


def find_duplicates(manifest: Manifest, measures: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """Clips that are another clip again: by bytes, decoded samples or fingerprint."""
    return duplicates.find(manifest.frame(), measures, params.duplicates)


def judge_clips(
    manifest: Manifest, measures: pd.DataFrame, duplicate_clips: pd.DataFrame, params: AuditParams, paths: Paths
) -> pd.DataFrame:
    """A verdict for every clip, with all its reasons; kept with the version of the corpus too."""
    refused = Refused(read_tombstones(paths))
    verdicts = policy.judge(manifest.frame(), measures, duplicate_clips, params, refused.pcm)
    versions.keep_verdicts(paths, manifest.digest, verdicts)
    return verdicts


def select_clips(manifest: Manifest, verdicts: pd.DataFrame, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """Which clips training hears, and how often."""
    return curation.select(manifest.frame(), verdicts, params, paths.corpus)


def represent(manifest: Manifest, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """Hours, clips, speakers, shares and keep rates of every group, with intervals over speakers."""
    return representation.represent(manifest.frame(), verdicts, selection, params)


def score_truth(manifest: Manifest, verdicts: pd.DataFrame, table: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """How well the audit finds the planted defects; without a truth table, an empty table."""
    return truth.score(truth.read(paths.raw / "truth.csv"), manifest.frame(), verdicts, table)


def summarise(
    manifest: Manifest, quarantine: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame,
    selection: pd.DataFrame, table: pd.DataFrame, params: AuditParams, paths: Paths,
) -> dict[str, Any]:  # fmt: skip
    """Counts and hours per split and reason; rows in = kept + soft + hard + quarantined, checked."""
    frames = summary.Tables(manifest.frame(), quarantine, measures, verdicts, selection, table)
    return summary.summarise(frames, params, paths.corpus, manifest.digest)


def render_audit_page(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, duplicate_clips: pd.DataFrame,
    table: pd.DataFrame, truth_scores: pd.DataFrame, audit_summary: dict[str, Any], params: AuditParams,
) -> str:  # fmt: skip
    """One page that answers 'can I train on this?'; works offline."""
    from allears.reporting.audit_page import AuditData, render

    data = AuditData(manifest.frame(), measures, verdicts, duplicate_clips, table, truth_scores, audit_summary)
    return render(data, params)
