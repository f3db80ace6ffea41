"""The one place where an objective is chosen."""

from __future__ import annotations

from allears.models.build import build_encoder
from allears.objectives.base import Objective
from allears.objectives.best_rq import BestRQ
from allears.objectives.masked_units import MaskedUnits
from allears.objectives.wav2vec2 import Wav2Vec2
from allears.params.model import AnyEncoderConfig
from allears.params.objective import AnyObjectiveConfig, BestRQConfig, MaskedUnitsConfig, NextUnitConfig, Wav2Vec2Config


def build_objective(config: AnyObjectiveConfig, encoder: AnyEncoderConfig, seed: int = 0) -> Objective:
    """Return the objective that `config` describes, around a new encoder where it has one.

    `seed` draws all weights and seeds the masks.
    """
    match config:
        case MaskedUnitsConfig():
            return MaskedUnits(config, build_encoder(encoder, seed), seed)
        case BestRQConfig():
            return BestRQ(config, build_encoder(encoder, seed), seed)
        case Wav2Vec2Config():
            return Wav2Vec2(config, build_encoder(encoder, seed), seed)
        case NextUnitConfig():
            from allears.objectives.next_unit import NextUnit  # imports transformers, which takes seconds

            return NextUnit(config, seed)
