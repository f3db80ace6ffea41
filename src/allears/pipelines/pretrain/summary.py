"""What `pretrain` says at its end: the same numbers as JSON, as a table on the screen, and on the export's card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from allears.checkpoints.bases import base_in_words, unknown_speakers
from allears.checkpoints.known import heard_before, heard_in, loader
from allears.params.base import Paths
from allears.pipelines.pretrain.corpora import in_words
from allears.process.energy import Cost
from allears.reporting.costs import cost_in_words
from allears.reporting.terminal import comparison_table, console

SHOWN = 12
COMPARED = """How it compares with its own random
initialisation and with training from scratch stands in the report and model card of the corpus."""
PROBE_TITLE = "Probe on held-out speakers: errors, pretrained against the same model untrained (best layer each)"


def summarise(
    audit: dict[str, Any],
    plan: dict[str, Any],
    pretrained: dict[str, Any],
    encoder: dict[str, Any],
    probe: pd.DataFrame,
) -> dict[str, Any]:
    """JSON-like; `reasons` and `quarantined` count each clip once, under the first reason that applies."""
    chosen = probe[probe["chosen"]] if len(probe) else probe
    verdicts = {name: int(audit["verdicts"][name]["clips"]) for name in ("keep", "soft", "hard")}
    return {
        "corpus": audit["corpus"],
        "version": audit["version"],
        "shards": plan["shards"],
        "clips": verdicts | {"quarantined": sum(audit["quarantine"].values())},
        "reasons": {name: int(one["counted"]) for name, one in audit["reasons"].items() if one["counted"]},
        "quarantined": audit["quarantine"],
        "hours": {
            "total": audit["total"]["hours"],
            "selected": audit["selected"]["hours"],
            "trained_on": plan["hours"],
        },
        "trained_on_clips": plan["clips"],
        "corpora": plan["corpora"],
        "too_short": plan["too_short"],
        "run": pretrained["run"],
        "objective": pretrained["objective"],
        "parameters": pretrained["parameters"],
        "updates": pretrained["updates"],
        "hours_heard": pretrained["hours_heard"],
        "clips_skipped": pretrained.get("clips_skipped", 0),  # of earlier runs: none
        "extends": pretrained["extends"],
        "training": pretrained["metrics"],
        "cost": pretrained["cost"],
        "export": encoder["folder"],
        "modules": encoder["modules"],
        "loader": loader(Path(encoder["folder"])),
        "probe": chosen.to_dict("records"),
    }


def show(found: dict[str, Any], probe: pd.DataFrame, paths: Paths) -> None:
    """Print the summary."""
    screen = console()
    table = Table(title=f"Pretrained on {found['corpus']}", show_header=False, title_justify="left", box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows(found, paths):
        table.add_row(name, text)
    screen.print(table)
    if "encoder" not in found["modules"]:
        screen.print(f"No probe: the objective {found['objective']} exports no encoder.")
        return
    screen.print(comparison_table(PROBE_TITLE, found["probe"]))
    if len(probe) == 0:
        screen.print("No probe: no label column and no text with enough clips of train, dev and test speakers.")


def rows(found: dict[str, Any], paths: Paths) -> list[tuple[str, str]]:
    """What the first table says: (name, text)."""
    clips, hours = found["clips"], found["hours"]
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in found["reasons"].items()) or "none"
    quarantined = ", ".join(f"{reason} {count:,}" for reason, count in found["quarantined"].items()) or "none"
    heard, skipped = found["hours_heard"], _skipped(found["clips_skipped"])
    repeats = f", {heard / hours['trained_on']:.1f} times what there is to train on" if hours["trained_on"] else ""
    hours_text = (
        f"{hours['total']:.2f} in all, {hours['selected']:.2f} kept, {hours['trained_on']:.2f} of train speakers "
        f"({found['trained_on_clips']:,} clips{' of all corpora' if len(found['corpora']) > 1 else ''})"
    )
    encoder_text = f"{found['parameters'] / 1e6:.2f} M parameters, {found['objective']}, run {found['run']}"
    name = " and ".join(found["modules"]).capitalize()
    together = found["corpora"] if len(found["corpora"]) > 1 else []
    return [
        ("Corpus", f"{found['corpus']}, version {found['version'][:SHOWN]}, shards {found['shards'][:SHOWN]}"),
        *(("Heard", f"{one['corpus']}: {in_words(one)}") for one in together),
        ("Clips kept", f"{clips['keep']:,} of {sum(clips.values()):,}"),
        ("Left out", f"{clips['soft'] + clips['hard']:,} ({left_out})"),
        ("Quarantined", f"{clips['quarantined']:,} ({quarantined})"),
        ("Hours", hours_text),
        (name, encoder_text + (f", extends {found['extends']}" if found["extends"] else "")),
        ("Budget", f"{found['updates']:,} updates, {heard:.2f} h heard{repeats}{skipped}"),
        ("Cost", _cost(found["cost"])),
        ("Export", f"{found['export']} ({found['loader']})"),
        ("Pages", str(paths.reports / "audit.html")),
    ]


def _cost(values: dict[str, Any] | None) -> str:
    return cost_in_words(Cost(**values) if values else None)


def _skipped(crops: int) -> str:
    return f", {crops:,} crops of damaged clips skipped" if crops else ""


def card(provenance: dict[str, Any], modules: Sequence[str]) -> str:
    """The README of the export, in Markdown; what it learned stands in the report, which is written later."""
    licences = ", ".join(f"{name} ({clips:,} clips)" for name, clips in provenance["licences"].items())
    skipped = _skipped(provenance.get("clips_skipped", 0))
    before = f", after run {provenance['extends']['run']}" if provenance["extends"] else ""
    base = provenance.get("base")
    first = f"the weights of base `{base['name']}`" if base else "new weights"
    continued = f"\n| base | {base_in_words(base)} |" if base else ""
    unit_base = (provenance.get("units") or {}).get("base")
    continued += f"\n| base of the units | {base_in_words(unit_base)} |" if unit_base else ""
    unknown = "".join(f" {sentence}" for sentence in unknown_speakers(provenance))
    corpora = heard_in(provenance)
    earlier = "".join(f"\n| heard before, in run {run} | {_heard(one)} |" for run, one in heard_before(provenance))
    name, is_encoder = " and ".join(modules), "encoder" in modules
    what = "Turns speech and other sound into one vector a frame. " if is_encoder else ""
    where = f"{COMPARED} " if is_encoder else ""
    return f"""# allears {name}, run {provenance["run"]}

{what}Pretrained without labels ({provenance["objective"]}) from
{first}{before}: {provenance["updates"]:,} updates, {provenance["hours_heard"]:.2f} hours heard{skipped}.

| | |
|---|---|
| {"corpus" if len(corpora) == 1 else "corpora"} | {"; ".join(map(_heard, corpora))} |{earlier}{continued}
| clips heard | {provenance["clips"]:,} of {provenance["speakers"]:,} speakers, {provenance["hours"]:.2f} h |
| licences | {licences} |
| cost of this run | {_cost(provenance.get("cost"))} |

Speakers of dev and test were in no pretraining and no clustering of units here.{unknown} {where}`provenance.json` has
the full digests and settings. It knows what its corpus holds; whom the corpus leaves out, it serves worse.
"""


def _heard(corpus: dict[str, Any]) -> str:
    said = [str(corpus["corpus"])]
    if "data_digest" in corpus:  # a run that an earlier allears stopped has the name alone
        said.append(f"version `{corpus['data_digest'][:SHOWN]}`, shards `{corpus['shards'][:SHOWN]}`")
    if corpus.get("share", 1) < 1:
        said.append(f"{100 * corpus['share']:.1f} % of the audio")
    return ", ".join(said)
