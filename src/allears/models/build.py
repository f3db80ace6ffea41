"""The one place where an encoder family is chosen: new, for an export folder, and from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from allears.errors import ConfigError
from allears.models.base import Encoder
from allears.models.conformer import interop as conformer_interop
from allears.models.conformer.model import ConformerEncoder
from allears.models.published import Published
from allears.models.waveform import interop as waveform_interop
from allears.models.waveform.model import WaveformEncoder
from allears.params.model import AnyEncoderConfig, ConformerConfig, EncoderConfig, WaveformConfig


def build_encoder(config: EncoderConfig, seed: int = 0) -> Encoder:
    """Return the encoder that `config` describes. All its weights are drawn from `seed`, whatever was drawn before."""
    match config:
        case ConformerConfig():
            return ConformerEncoder(config, seed)
        case WaveformConfig():
            return WaveformEncoder(config, seed)
        case _:
            raise TypeError(f"no encoder of {type(config).__name__} is known")


def publish(encoder: Encoder) -> Published:
    """Return what an export folder holds of an encoder, under the names of transformers."""
    match encoder:
        case ConformerEncoder():
            return conformer_interop.publish(encoder)
        case WaveformEncoder():
            return waveform_interop.publish(encoder)
        case _:
            raise TypeError(f"no export of a {type(encoder).__name__} is known")


def config_of(values: Mapping[str, Any]) -> AnyEncoderConfig:
    """Return our configuration of a `config.json`. ConfigError for a model that no family here computes."""
    family = values.get("allears", {}).get("family")
    match family or values.get("model_type"):
        case "conformer" | "wav2vec2-bert":
            return conformer_interop.config_from_transformers(values)
        case "waveform" | "wav2vec2" | "hubert":
            return waveform_interop.config_from_transformers(values)
        case other:
            raise ConfigError(
                f"this checkpoint is a model of type {other!r}, which allears does not compute; expected one of "
                "wav2vec2, hubert, wav2vec2-bert"
            )


def weights_of(theirs: Mapping[str, Tensor], config: AnyEncoderConfig) -> dict[str, Tensor]:
    """Return the state of our encoder from the weights of an export folder. ConfigError names a missing weight."""
    match config:
        case ConformerConfig():
            return conformer_interop.from_transformers(theirs, config)
        case WaveformConfig():
            return waveform_interop.from_transformers(theirs, config)


def left_over(theirs: Mapping[str, Tensor], encoder: Encoder) -> tuple[list[str], list[str]]:
    """Return the names of weights in a checkpoint that our encoder does not have: in its own part, and of heads."""
    match encoder:
        case ConformerEncoder():
            part = conformer_interop.encoder_part(theirs)
        case WaveformEncoder():
            part = waveform_interop.encoder_part(theirs, encoder.config)
        case _:
            raise TypeError(f"no export of a {type(encoder).__name__} is known")
    extra = sorted(part.keys() - publish(encoder).weights.keys())
    inside = {id(value) for value in part.values()}
    return extra, sorted(name for name, value in theirs.items() if id(value) not in inside)
