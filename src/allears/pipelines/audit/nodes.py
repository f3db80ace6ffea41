"""Steps of `audit`: decode once and measure, find duplicates, judge, represent, select, and say it on one page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from allears.audio.measures import MeasureSpec
from allears.audit import (
    curation,
    derived,
    duplicates,
    measuring,
    overrides,
    policy,
    representation,
    summary,
    truth,
)
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.params.audit import AuditParams, MeasureParams
from allears.params.base import Paths
from allears.params.policy import Policies


def measure_clips(manifest: Manifest, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """One row of measures a clip; what was measured before is read from the journal and not decoded again."""
    cuts = params.measures
    refs = clip_refs(manifest.frame(REF_COLUMNS))
    journal = paths.primary / "measures.jsonl"
    spec = measure_spec(cuts)
    measures = measuring.measure_all(refs, spec, journal, timeout_s=cuts.timeout_s, workers=cuts.workers)
    return derived.with_derived(measures, manifest.frame(derived.MANIFEST_COLUMNS))


def measure_spec(cuts: MeasureParams) -> MeasureSpec:
    """What of the parameters the measures depend on."""
    return MeasureSpec(
        clip_level=cuts.clip_level,
        silence_dbfs=cuts.silence_dbfs,
        silence_below_loud_db=cuts.silence_below_loud_db,
        bandwidth_drop_db=cuts.bandwidth_drop_db,
    )


def find_duplicates(manifest: Manifest, measures: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """Clips that are another clip again: by bytes, decoded samples or fingerprint."""
    return duplicates.find(manifest.frame(), measures, params.duplicates)


def read_overrides(manifest: Manifest, paths: Paths) -> pd.DataFrame:
    """What a person decided about single clips (`overrides.csv` beside the corpus's settings); mostly nothing."""
    return overrides.read(paths.raw / overrides.NAME, manifest.frame(["clip"])["clip"])


def judge_clips(
    manifest: Manifest, measures: pd.DataFrame, duplicate_clips: pd.DataFrame, decided: pd.DataFrame,
    policies: Policies, params: AuditParams,
) -> pd.DataFrame:  # fmt: skip
    """A verdict for every clip under the chosen policy, with all its reasons and what a person decided."""
    chosen = policies.chosen(params.policy)
    return policy.judge(manifest.frame(), measures, duplicate_clips, params, chosen, decided)


def select_clips(manifest: Manifest, verdicts: pd.DataFrame, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """Which clips training hears, and how often."""
    return curation.select(manifest.frame(), verdicts, params, paths.corpus)


def represent(manifest: Manifest, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """Hours, clips, speakers, shares and keep rates of every group, with intervals over speakers."""
    return representation.represent(manifest.frame(), verdicts, selection, params)


def score_truth(
    manifest: Manifest, verdicts: pd.DataFrame, table: pd.DataFrame, policies: Policies, params: AuditParams,
    paths: Paths,
) -> pd.DataFrame:  # fmt: skip
    """How well the audit finds the planted defects; without a truth table, an empty table."""
    chosen = policies.chosen(params.policy)
    return truth.score(truth.read(paths.raw / "truth.csv"), manifest.frame(), verdicts, table, chosen)


def summarise(
    manifest: Manifest, quarantine: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame,
    selection: pd.DataFrame, table: pd.DataFrame, policies: Policies, params: AuditParams, paths: Paths,
) -> dict[str, Any]:  # fmt: skip
    """Counts and hours per split and reason; rows in = kept + soft + hard + quarantined, checked."""
    frames = summary.Tables(manifest.frame(), quarantine, measures, verdicts, selection, table)
    return summary.summarise(frames, params, policies.chosen(params.policy), paths.corpus, manifest.digest)


def render_audit_page(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, duplicate_clips: pd.DataFrame,
    table: pd.DataFrame, truth_scores: pd.DataFrame, audit_summary: dict[str, Any], decided: pd.DataFrame,
    policies: Policies, params: AuditParams,
) -> str:  # fmt: skip
    """One page that answers 'can I train on this?'; works offline."""
    from allears.reporting.audit_page import AuditData, render

    data = AuditData(manifest.frame(), measures, verdicts, duplicate_clips, table, truth_scores, audit_summary, decided)
    return render(data, params, policies.chosen(params.policy))
