"""The form in which an encoder of any family is exported, and lookups in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from allears.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`config` and `preprocessor` are JSON files, `weights` has the names of transformers, `usage` is Markdown."""

    config: dict[str, Any]
    preprocessor: dict[str, Any]
    weights: dict[str, Tensor]
    usage: str


def encoder_weights(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the encoder's part of a checkpoint: the weights under `prefix`, without it; all where none has it."""
    inside = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return inside or dict(weights)


def check_computed(values: Mapping[str, Any], wrong: Mapping[str, bool], expected: str) -> None:
    """Raise ConfigError, which names the settings of a `config.json` that are `wrong` here; `expected` in words."""
    if found := ", ".join(f"{name}={values.get(name)!r}" for name, is_wrong in wrong.items() if is_wrong):
        raise ConfigError(f"this checkpoint has {found}, which allears does not compute; expected {expected}")


def required_weight(weights: Mapping[str, Tensor], name: str, owner: str) -> Tensor:
    """Return a weight of a checkpoint; ConfigError when it lacks one that `owner`, a class of transformers, has."""
    if name not in weights:
        raise ConfigError(
            f"the checkpoint has no weight {name!r}, which a {owner} of its config.json has (found {len(weights)} "
            f"weights, the first is {next(iter(weights), 'none')!r}); config and weights do not belong together, or "
            "the download is incomplete"
        )
    return weights[name]
