"""Read the probe by layer: every layer, and the layer that dev speakers chose for each arm.

`scores` has one row a test clip: `arm (pretrained | random), draw, layer, target, share, clip, group, errors, total,
dev_errors, dev_total` (the last two of all dev clips, for the arm, draw and layer).
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from allears.evaluation.comparisons import LEAST, Least, gain, gain_row

PLACE = ["target", "share"]
COLUMNS = [
    *PLACE, "metric", "chosen", "layer", "baseline_layer", "baseline", "baseline_error", "pretrained_error", "gain",
    "low", "high", "clips", "speakers", "repetitions", "assessable",
]  # fmt: skip
ENCODER_COLUMNS = [name for name in COLUMNS if name not in ("metric", "chosen")]


def summarise(scores: pd.DataFrame, least: Least = LEAST) -> pd.DataFrame:
    """For every target and share one row that is `chosen`: each arm at its layer with the fewest errors on dev
    speakers, summed over the draws (test speakers have no say in it); then one a layer, both arms at that layer.

    Errors are rates on test speakers; `gain` is random − pretrained (above zero: pretraining helped) with its 95 %
    interval over speakers and draws. `layer` is the pretrained arm's, `baseline_layer` the random one's. Columns:
    COLUMNS.
    """
    rows: list[dict[str, object]] = []
    for key, part in scores.rename(columns={"draw": "repetition"}).groupby(PLACE, sort=True):
        place: dict[str, object] = dict(zip(PLACE, key, strict=True))
        place["metric"] = "character error rate" if place["target"] == "text" else "error rate"
        best = _best_layers(part)
        if set(best) != {"pretrained", "random"}:
            continue
        chosen = part[part["layer"] == part["arm"].map(best)]
        layers = {"layer": best["pretrained"], "baseline_layer": best["random"]}
        rows += _row(chosen, place | {"chosen": True} | layers, least)
        for layer, both in part.groupby("layer", sort=True):
            rows += _row(both, place | {"chosen": False, "layer": layer, "baseline_layer": layer}, least)
    return pd.DataFrame(rows, columns=COLUMNS)


def compare_encoders(
    scores: pd.DataFrame, others: Iterable[tuple[str, pd.DataFrame]], least: Least = LEAST
) -> pd.DataFrame:
    """Gains of this pretrained encoder over others: (name, probe scores of the same clips, labels and draws).

    Each at the layer that dev speakers chose for it; `baseline` is the other's name. Columns: ENCODER_COLUMNS.
    """
    rows: list[dict[str, object]] = []
    for name, other in others:
        theirs = other[other["arm"] == "pretrained"].assign(arm=name)
        both = pd.concat([scores[scores["arm"] == "pretrained"], theirs]).rename(columns={"draw": "repetition"})
        for key, part in both.groupby(PLACE, sort=True):
            best = _best_layers(part)
            found = gain(part[part["layer"] == part["arm"].map(best)], name, least=least)
            if found is not None:
                layers = {"layer": best["pretrained"], "baseline_layer": best[name]}
                rows.append(dict(zip(PLACE, key, strict=True)) | layers | gain_row(found))
    return pd.DataFrame(rows, columns=ENCODER_COLUMNS)


def _best_layers(part: pd.DataFrame) -> dict[str, int]:
    """Arm → layer with the fewest dev errors; of equals the lowest."""
    runs = part.drop_duplicates(["arm", "layer", "repetition"])
    errors = runs.groupby(["arm", "layer"], as_index=False).agg(dev_errors=("dev_errors", "sum"))
    best = errors.sort_values(["dev_errors", "layer"]).drop_duplicates("arm")
    return {str(arm): int(layer) for arm, layer in zip(best["arm"], best["layer"], strict=True)}


def _row(part: pd.DataFrame, place: dict[str, object], least: Least) -> list[dict[str, object]]:
    found = gain(part, "random", least=least)
    return [] if found is None else [place | gain_row(found)]
