"""The one place where an objective is chosen."""

from __future__ import annotations

from allears.models.audio_encoder import AudioEncoder
from allears.objectives.base import Objective
from allears.objectives.best_rq import BestRQ
from allears.objectives.masked_units import MaskedUnits
from allears.params.objective import BestRQConfig, MaskedUnitsConfig


def build_objective(config: MaskedUnitsConfig | BestRQConfig, encoder: AudioEncoder, seed: int = 0) -> Objective:
    """The objective that `config.name` names; `seed` draws its head and quantizer and seeds the masks."""
    match config.name:
        case "masked_units":
            return MaskedUnits(config, encoder, seed)
        case "best_rq":
            return BestRQ(config, encoder, seed)
