"""The audit's tables about people, from rows of a small manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from allears.audit.curation import select
from allears.audit.disparity import disparity
from allears.audit.duplicates import find
from allears.audit.policy import describe_set_aside, judge
from allears.audit.representation import represent
from allears.audit.split_comparison import compare
from allears.audit.summary import Tables, summarise
from allears.audit.targets import Target
from allears.params.audit import AuditParams
from tests.audit_tables import STANDARD, agree, manifest, measures

FEW_SAMPLES = {"representation": {"bootstrap_samples": 100}}


@dataclass(frozen=True)
class Audited:
    manifest: pd.DataFrame
    measures: pd.DataFrame
    verdicts: pd.DataFrame
    selection: pd.DataFrame
    params: AuditParams
    targets: dict[str, Target]

    def represented(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return represent(self.manifest, self.selection, self.targets, self.params)

    def disparity(self) -> pd.DataFrame:
        return disparity(self.manifest, self.verdicts, self.selection, self.params)

    def tables(self) -> Tables:
        quarantine = pd.DataFrame({"reason": ["zero_byte", "zero_byte", "not_audio"]})
        aside = describe_set_aside(self.manifest, self.measures, self.verdicts, self.params, STANDARD)
        compared = compare(self.manifest, self.measures, self.selection)
        people = (*self.represented(), self.disparity(), *compared)
        return Tables(self.manifest, quarantine, self.verdicts, self.selection, *people, set_aside=aside)

    def summary(self) -> dict[str, Any]:
        return summarise(self.tables(), self.params, STANDARD, "zoo", "v1")

    def findings(self) -> str:
        return "\n".join(f"{finding['level']}: {finding['text']}" for finding in self.summary()["findings"])


def audited(
    rows: list[dict[str, Any]], values: list[dict[str, Any]] | None = None, *, targets: dict[str, Target] | None = None,
    target: Target | None = None, decided: pd.DataFrame | None = None, **changes: Any,
) -> Audited:  # fmt: skip
    """Judged and selected; `values` are the measures that differ from faultless ones, `target` is the curation's."""
    params = AuditParams.model_validate(FEW_SAMPLES | changes)
    table = manifest(rows)
    seconds = (table["end_s"] - table["start_s"]).tolist()
    measured = measures(
        table, [{"decoded_duration_s": s} | row for s, row in zip(seconds, values or [{}] * len(rows), strict=True)]
    )
    verdicts = judge(table, measured, find(table, measured, params.duplicates, agree), params, STANDARD, decided)
    selection = select(table, measured, verdicts, target, params)
    return Audited(table, measured, verdicts, selection, params, targets or {})
