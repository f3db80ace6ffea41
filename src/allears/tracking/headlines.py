"""The few metrics of a run that MLflow's page shows; what else a training measures is in its table of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 20  # charts on a page
SYSTEM = "system/"  # these have a page of their own
COST = ("device_hours", "energy_kwh", "co2e_kg")  # shown of every training, whatever else it measures
MINOR = frozenset((  # of a training: constants of its configuration, and what others say as well
    "masked_share", "dev_masked_share", "dev_clips_skipped", "clips_an_update", "updates_a_second", "codes_used_share",
    "predictions_used_share",
))  # fmt: skip


def headlines(values: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """Return the values that are shown, and add their names to those `known` of the run: the first MOST stay."""
    shown = {}
    for name, value in values.items():
        if name not in known and name not in COST and not name.startswith(SYSTEM):
            if name in MINOR or len(known) >= MOST:
                continue
            known.append(name)
        shown[name] = value
    return shown
