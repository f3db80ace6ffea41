"""Steps of `audit`: decode once and measure, find duplicates, judge, represent, select, and say it on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audio.measures import MeasureSpec
from allears.audit import (
    curation,
    curation_table,
    derived,
    disparity,
    duplicates,
    licences,
    measuring,
    overrides,
    policy,
    representation,
    signal_findings,
    split_comparison,
    summary,
    targets,
    texts,
    truth,
    waveforms,
)
from allears.corpus import versions
from allears.corpus.left import read_left
from allears.corpus.manifest import REF_COLUMNS, Manifest, clip_refs
from allears.corpus.withdrawn import Refused, read_tombstones
from allears.errors import CorpusError
from allears.params.audit import AuditParams, MeasureParams
from allears.params.base import Paths
from allears.params.policy import Policies
from allears.pipelines.audit import text_nodes

PASSED = "audit_passed.json"
PEOPLE_COLUMNS = (
    "clip", "source", "start_s", "end_s", "text", "label", "language", "accent", "gender", "age", "speaker", "session",
    "licence", "split", "group",
)  # fmt: skip


def measure_clips(manifest: Manifest, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """One row of measures a clip, of its audio and its text; what was measured before is read from the journal."""
    cuts, judge = params.measures, text_nodes.find_judge(params)
    refs = clip_refs(manifest.frame(REF_COLUMNS))
    journal = paths.primary / "measures.jsonl"
    spec = measure_spec(cuts)
    measures = measuring.measure_all(refs, spec, journal, timeout_s=cuts.timeout_s, workers=cuts.workers)
    measures = derived.with_derived(measures, manifest.frame(derived.MANIFEST_COLUMNS))
    measures = measures.merge(texts.text_measures(manifest.frame(texts.MANIFEST_COLUMNS)), on="clip", validate="1:1")
    return measures.merge(text_nodes.fit_texts(manifest, judge, params, paths), on="clip", validate="1:1")


def measure_spec(cuts: MeasureParams) -> MeasureSpec:
    """What of the parameters the measures depend on."""
    return MeasureSpec(
        clip_level=cuts.clip_level,
        silence_dbfs=cuts.silence_dbfs,
        silence_below_loud_db=cuts.silence_below_loud_db,
        bandwidth_drop_db=cuts.bandwidth_drop_db,
        speech_probability=cuts.speech_probability,
        speech_stride=cuts.speech_stride,
    )


def find_duplicates(manifest: Manifest, measures: pd.DataFrame, params: AuditParams, paths: Paths) -> pd.DataFrame:
    """Clips that are another clip again: by bytes, decoded samples, or fingerprint and waveform."""

    def compare(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        if not pairs:  # the manifest is not read for nothing
            return np.zeros(0)
        places = manifest.frame(REF_COLUMNS)
        involved = places[places["clip"].isin({clip for pair in pairs for clip in pair})]
        ref_of = {ref.clip: ref for ref in clip_refs(involved)}
        asked = [waveforms.Pair(ref_of[one], ref_of[other]) for one, other in pairs]
        return waveforms.compare(asked, paths.primary / "waveforms.jsonl", workers=params.measures.workers)

    return duplicates.find(manifest.frame(duplicates.NEEDS), measures, params.duplicates, compare)


def read_overrides(manifest: Manifest, paths: Paths) -> pd.DataFrame:
    """What a person decided about single clips (`overrides.csv` beside the corpus's settings); mostly nothing."""
    return overrides.read(paths.raw / overrides.NAME, manifest.frame(["clip"])["clip"], read_left(paths))


def judge_clips(
    manifest: Manifest, measures: pd.DataFrame, duplicate_clips: pd.DataFrame, decided: pd.DataFrame,
    policies: Policies, params: AuditParams, paths: Paths,
) -> pd.DataFrame:  # fmt: skip
    """A verdict for every clip under the chosen policy, with all its reasons and what a person decided; kept with the
    version of the corpus too.
    """
    refused = Refused(read_tombstones(paths)).pcm
    chosen = policies.chosen(params.policy)
    verdicts = policy.judge(manifest.frame(), measures, duplicate_clips, params, chosen, decided, refused)
    versions.keep_verdicts(paths, manifest.digest, verdicts)
    return verdicts


def select_clips(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, params: AuditParams
) -> pd.DataFrame:
    """Which clips training hears, and how often."""
    wanted = params.curation
    target = targets.read(wanted.target, wanted.axis) if wanted.target and wanted.axis else None
    return curation.select(manifest.frame(PEOPLE_COLUMNS), measures, verdicts, target, params)


def represent(manifest: Manifest, selection: pd.DataFrame, params: AuditParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hours, clips, speakers, shares of every group with intervals over speakers; each axis against its target."""
    wanted = {axis: targets.read(where, axis) for axis, where in params.representation.target.items()}
    return representation.represent(manifest.frame(PEOPLE_COLUMNS), selection, wanted, params)


def find_disparity(
    manifest: Manifest, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams
) -> pd.DataFrame:
    """What each filter removes of each group, against the group that it keeps most of."""
    return disparity.disparity(manifest.frame(PEOPLE_COLUMNS), verdicts, selection, params)


def compare_splits(
    manifest: Manifest, measures: pd.DataFrame, selection: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Language, rate, level, texts and more of each split and source; how dev and test differ from train."""
    return split_comparison.compare(manifest.frame(split_comparison.MANIFEST_COLUMNS), measures, selection)


def tabulate_curation(manifest: Manifest, selection: pd.DataFrame, params: AuditParams) -> pd.DataFrame:
    """The training split before the audit, after the policy, after the curation."""
    return curation_table.before_and_after(manifest.frame(PEOPLE_COLUMNS), selection, params)


def score_truth(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, table: pd.DataFrame, policies: Policies,
    params: AuditParams, paths: Paths,
) -> pd.DataFrame:  # fmt: skip
    """How well the audit finds the planted defects; without a truth table, an empty table."""
    chosen = policies.chosen(params.policy)
    return truth.score(truth.read(paths.raw / "truth.csv"), manifest.frame(), measures, verdicts, table, chosen)


def summarise(
    manifest: Manifest, measures: pd.DataFrame, quarantine: pd.DataFrame, verdicts: pd.DataFrame,
    selection: pd.DataFrame, table: pd.DataFrame, axes: pd.DataFrame, disparity_table: pd.DataFrame,
    comparison: pd.DataFrame, differences: pd.DataFrame, shipped_policies: dict[str, Any], policies: Policies,
    params: AuditParams, paths: Paths,
) -> dict[str, Any]:  # fmt: skip
    """Counts and hours per split and reason; rows in = kept + soft + hard + quarantined, checked."""
    people, chosen = manifest.frame(PEOPLE_COLUMNS), policies.chosen(params.policy)
    frames = summary.Tables(
        people, quarantine, verdicts, selection, table, axes, disparity_table, comparison, differences, manifest.gaps,
        _licence_words(manifest, verdicts),
        policy.describe_set_aside(people, measures, verdicts, params, chosen),
        policies.described(params.policy, Policies.model_validate(shipped_policies["policies"])),
        signal=signal_findings.signal_facts(measures, params.measures.silence_dbfs),
    )  # fmt: skip
    return summary.summarise(frames, params, chosen, paths.corpus, manifest.digest)


def check_selection(
    manifest: Manifest, verdicts: pd.DataFrame, selection: pd.DataFrame, audit_summary: dict[str, Any], audit_page: str,
    params: AuditParams, paths: Paths,
) -> dict[str, Any]:  # fmt: skip
    """Version, clips and hours that may be trained on, which `shard` waits for.

    Raises CorpusError when there are none. It takes the page, so that the page that explains it is written before.
    """
    del audit_page
    train = audit_summary["splits"]["train"]
    if train["selected_clips"] == 0:
        (paths.primary / PASSED).unlink(missing_ok=True)  # of an earlier audit that left something
        words = _licence_words(manifest, verdicts)
        try:
            curation.check_some_left(manifest.frame(PEOPLE_COLUMNS), verdicts, selection, params, paths.corpus, words)
        except CorpusError as error:
            page = paths.reports / "audit.html"
            raise CorpusError(f"{error} The page {page} shows what was left out, and why") from None
    return {
        "version": audit_summary["version"],
        "clips": int(train["selected_clips"]),
        "hours": float(train["selected_hours"]),
    }


def _licence_words(manifest: Manifest, verdicts: pd.DataFrame) -> tuple[str, ...]:
    """What the corpus itself calls the licences that are refused as unknown; nothing is read where none are."""
    refused = policy.having(verdicts["reasons"], "licence_unknown").any()
    return licences.own_words(manifest.iter_parts(("licence", "attributes"))) if refused else ()


def render_audit_page(
    manifest: Manifest, measures: pd.DataFrame, verdicts: pd.DataFrame, duplicate_clips: pd.DataFrame,
    table: pd.DataFrame, disparity_table: pd.DataFrame, curated: pd.DataFrame, truth_scores: pd.DataFrame,
    exhibits: pd.DataFrame, audit_summary: dict[str, Any], decided: pd.DataFrame, policies: Policies,
    params: AuditParams,
) -> str:  # fmt: skip
    """One page that answers 'can I train on this?'; works offline."""
    from allears.reporting.audit_page import AuditData, render

    data = AuditData(
        manifest.frame(), measures, verdicts, duplicate_clips, table, disparity_table, curated, truth_scores,
        exhibits, audit_summary, decided,
    )  # fmt: skip
    return render(data, params, policies.chosen(params.policy))
