"""Steps of `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from allears.corpus.manifest import Manifest
from allears.params.base import Paths


def write_datasheet(
    sources: list[dict[str, Any]], manifest: Manifest, quarantine: pd.DataFrame, verdicts: pd.DataFrame, paths: Paths
) -> str:
    """The datasheet of the corpus, in Markdown."""
    from allears.reporting.datasheet import datasheet

    return datasheet(paths.corpus, manifest.digest[:12], sources, manifest.frame(), quarantine, verdicts)


def write_model_card(
    pretrained: dict[str, Any], encoder: dict[str, Any], probe: pd.DataFrame, evaluation: pd.DataFrame, paths: Paths
) -> str:
    """The card of the pretrained encoder, with what fine-tuning showed, in Markdown."""
    from allears.reporting.model_card import ModelFacts, model_card

    provenance = json.loads((Path(encoder["folder"]) / "provenance.json").read_text())
    facts = ModelFacts(
        title=f"allears encoder of {paths.corpus}",
        corpus=paths.corpus,
        version=str(provenance["data_digest"])[:12],
        facts=[
            ("run", str(pretrained["run"])),
            ("objective", str(pretrained["objective"])),
            ("parameters", f"{pretrained['parameters'] / 1e6:.2f} M"),
            ("updates", f"{pretrained['updates']:,}"),
            ("audio heard", f"{pretrained['hours_heard']:.2f} h"),
        ],
        licences=[{"licence": name, "clips": clips} for name, clips in provenance["licences"].items()],
    )
    return model_card(facts, probe, evaluation)


def write_report_page(
    manifest: Manifest,
    pretrained: dict[str, Any],
    probe: pd.DataFrame,
    evaluation: pd.DataFrame,
    curves: pd.DataFrame,
    steps: pd.DataFrame,
    finetune_run: dict[str, Any],
    truth_scores: pd.DataFrame,
    paths: Paths,
) -> str:
    """The report's page as one HTML string."""
    from allears.reporting.report_page import ReportData, render
    from allears.training.events import history

    return render(
        ReportData(
            corpus=paths.corpus,
            version=manifest.digest,
            pretrained=pretrained,
            events=history(Path(pretrained["folder"])),
            probe=probe,
            evaluation=evaluation,
            curves=curves,
            steps=steps,
            truth_scores=truth_scores,
            skipped=finetune_run["skipped"],
        )
    )
