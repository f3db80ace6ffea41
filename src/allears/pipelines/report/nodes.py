"""Steps of `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from allears.checkpoints.bases import base_in_words, unknown_speakers
from allears.checkpoints.known import PROVENANCE, WEIGHTS, heard_before, heard_in, holds_encoder
from allears.corpus.manifest import Manifest
from allears.errors import StaleError
from allears.evaluation.wording import name_targets
from allears.params.base import Paths
from allears.process.energy import Cost, read_cost
from allears.process.spec_file import SPEC_FILE
from allears.storage.digest import file_digest
from allears.storage.files import read_json


def write_model_card(
    pretrained: dict[str, Any],
    encoder: dict[str, Any],
    probe: pd.DataFrame,
    evaluation: pd.DataFrame,
    finetune_run: dict[str, Any],
    paths: Paths,
) -> str:
    """The card of the pretrained model in Markdown, with what fine-tuning showed, if it was this one's."""
    from allears.reporting.costs import cost_in_words
    from allears.reporting.model_card import ModelFacts, model_card

    provenance = read_json(Path(encoder["folder"]) / PROVENANCE)
    now, before = heard_in(provenance), heard_before(provenance)
    base = provenance.get("base")
    facts = ModelFacts(
        title=f"allears {' and '.join(encoder.get('modules', ['encoder']))} of {paths.corpus}",
        corpus=paths.corpus,
        version=str(provenance["data_digest"])[:12],
        facts=[
            ("run", str(pretrained["run"])),
            ("objective", str(pretrained["objective"])),
            ("parameters", f"{pretrained['parameters'] / 1e6:.2f} M"),
            ("updates", f"{pretrained['updates']:,}"),
            ("audio heard", f"{pretrained['hours_heard']:.2f} h"),
            ("cost of this run", cost_in_words(read_cost(Path(pretrained["folder"])))),
            *((f"of corpus {one['corpus']}", _heard(one)) for one in now if len(now) > 1),
            *((f"before, in run {run}, of corpus {one['corpus']}", _heard(one)) for run, one in before),
        ],
        licences=[{"licence": name, "clips": clips} for name, clips in provenance["licences"].items()],
        others=[one["corpus"] for one in now[1:]],
        before=list(dict.fromkeys(one["corpus"] for _, one in before)),
        base=base_in_words(base) if base else "",
        unknown=" ".join(unknown_speakers(provenance)),
    )
    return model_card(facts, probe, evaluation if _is_its(encoder, finetune_run) else evaluation.iloc[:0])


def write_report_page(
    manifest: Manifest,
    pretrained: dict[str, Any],
    encoder: dict[str, Any],
    probe: pd.DataFrame,
    probe_comparison: pd.DataFrame,
    evaluation: pd.DataFrame,
    encoder_comparison: pd.DataFrame,
    curves: pd.DataFrame,
    steps: pd.DataFrame,
    finetune_run: dict[str, Any],
    truth_scores: pd.DataFrame,
    paths: Paths,
) -> str:
    """The report's page as one HTML string. StaleError when another encoder of this corpus was fine-tuned."""
    from allears.process.events import history
    from allears.reporting.report_page import ReportData, render

    tuned = finetune_run["encoder"]
    if tuned["corpus"] == paths.corpus and not _is_its(encoder, finetune_run):
        raise StaleError(
            f"corpus '{paths.corpus}' was pretrained again after its encoder was fine-tuned: the comparison is of an "
            f"earlier one. Run `kedro run --pipeline finetune --params corpus={paths.corpus}`, then evaluate and report"
        )
    provenance = Path(tuned["folder"]) / PROVENANCE
    facts = read_json(provenance) if provenance.exists() else {}
    facts |= {"base": tuned["base"]} if tuned.get("base") else {}
    return render(
        ReportData(
            corpus=paths.corpus,
            version=manifest.digest,
            pretrained=pretrained,
            tuned={"corpus": tuned["corpus"]} | facts,
            unknown=" ".join(unknown_speakers(facts)),
            events=history(Path(pretrained["folder"])),
            probe=probe,
            probe_encoders=probe_comparison,
            evaluation=evaluation,
            encoders=encoder_comparison,
            curves=curves,
            steps=steps,
            truth_scores=truth_scores,
            skipped=finetune_run["skipped"],
            costs=find_costs(paths),
        )
    )


def find_costs(paths: Paths) -> list[tuple[str, str, Cost | None]]:
    """Kind, name and cost of every training of this corpus, also of those that were never finished."""
    folders = [
        *(("pretraining", spec.parent) for spec in sorted(paths.models.glob(f"runs/*/{SPEC_FILE}"))),
        *(("probe", spec.parent) for spec in sorted(paths.outputs.glob(f"probe/*/{SPEC_FILE}"))),
        *(("fine-tuning", spec.parent) for spec in sorted(paths.models.glob(f"finetune/*/{SPEC_FILE}"))),
    ]
    return [(kind, folder.name, read_cost(folder)) for kind, folder in folders]


def draw_gains(probe: pd.DataFrame, evaluation: pd.DataFrame) -> tuple[Any, Any]:
    """Charts (plotly figures) for Kedro-Viz of assessable gains: in the probe, and of fine-tuning over all clips."""
    from allears.reporting.report_sections import gain_chart

    chosen = probe[probe["chosen"].astype(bool) & probe["assessable"].astype(bool)]
    overall = evaluation[(evaluation["axis"] == "all") & evaluation["assessable"].astype(bool)]
    return gain_chart(chosen), gain_chart(name_targets(overall))


def _heard(one: dict[str, Any]) -> str:
    """What is known: a run that an earlier allears stopped says little of itself."""
    said = [f"{100 * one['share']:.1f} %"] if one.get("share", 1) < 1 else []
    said += [f"version {one['data_digest'][:12]}", f"{one['clips']:,} clips"] if "data_digest" in one else []
    said += [f"licences {', '.join(one['licences'])}"] if "licences" in one else []
    return ", ".join(said)


def _is_its(encoder: dict[str, Any], finetune_run: dict[str, Any]) -> bool:
    """Whether the fine-tuned encoder is this one."""
    folder = Path(encoder["folder"])
    return holds_encoder(folder) and file_digest(folder / WEIGHTS) == str(finetune_run["encoder"]["digest"])
