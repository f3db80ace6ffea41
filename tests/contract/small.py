"""Small members of every list of the learning side, and batches for them: what the contracts are tested with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from allears.models.base import Encoder
from allears.models.build import build_encoder
from allears.objectives.base import Objective
from allears.objectives.build import build_objective
from allears.params.base import members
from allears.params.model import AnyEncoderConfig, EncoderConfig
from allears.params.objective import AnyObjectiveConfig, ObjectiveConfig
from allears.params.task import AnyTaskConfig
from allears.types import Batch, Padded

OBJECTIVES: dict[str, type[ObjectiveConfig]] = members(AnyObjectiveConfig, "name")
ENCODERS: dict[str, type[EncoderConfig]] = members(AnyEncoderConfig, "family")
TASKS = members(AnyTaskConfig, "task")
SMALL = {
    "width": 16, "blocks": 2, "heads": 2, "ffn_width": 32, "kernel_frames": 3, "units": 7, "final_width": 8,
    "codebooks": 2, "codes": 8, "code_width": 4, "channels": 8, "position_kernel": 4, "position_groups": 2,
    "negatives": 5,
}  # fmt: skip
LENGTHS = (16000, 9000, 12000)


def small(config: type[Any], **fixed: Any) -> Any:
    """A configuration of this class with small sizes, where it has fields for them."""
    return config(**{name: value for name, value in SMALL.items() if name in config.model_fields} | fixed)


def encoder_config() -> EncoderConfig:
    """A small encoder of the first family."""
    config: EncoderConfig = small(next(iter(ENCODERS.values())))
    return config


def _maker(family: str) -> Callable[[], Encoder]:
    return lambda: build_encoder(small(ENCODERS[family]))


MAKERS: dict[str, Callable[[], Encoder]] = {family: _maker(family) for family in ENCODERS}


def objective(name: str, encoder: EncoderConfig | None = None, **changes: Any) -> Objective:
    """A new objective with a small encoder, in training mode."""
    return build_objective(small(OBJECTIVES[name], **changes), encoder or encoder_config(), seed=3)


def audio(lengths: tuple[int, ...] = LENGTHS, *, beyond: float = 0.0) -> Padded:
    """Noise; `beyond` fills the padding."""
    data = torch.full((len(lengths), max(lengths)), beyond)
    for row, length in enumerate(lengths):
        data[row, :length] = 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(row))
    return Padded(data, torch.tensor(lengths), full=min(lengths) == max(lengths))


def batch(
    model: Objective, lengths: tuple[int, ...] = LENGTHS, *, beyond: float = 0.0, fill: int = 0,
    encoder: EncoderConfig | None = None,
) -> Batch:  # fmt: skip
    """A batch with the inputs of an objective and what it prepares; `fill` rows only fill it."""
    inputs, encoder = model.config.inputs, encoder or encoder_config()
    rows = len(lengths) + fill
    frames = [encoder.frames(length) for length in lengths]
    units = torch.full((rows, max(frames)), -1)
    for row, count in enumerate(frames):
        classes = max(2, model.config.unit_classes)
        units[row, :count] = torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(row))
    found = Batch(
        keys=tuple(f"clip-{row}" for row in range(len(lengths))) + ("",) * fill,
        starts=(0,) * rows, before=(0,) * rows, epoch=0, step=0,
        audio=audio(lengths + (0,) * fill, beyond=beyond) if "audio" in inputs else None,
        units=Padded(units, torch.tensor(frames + [0] * fill)) if "units" in inputs else None,
        texts=(*("one", "a longer text", "two")[: len(lengths)], *("",) * fill) if "text" in inputs else None,
        labels=(*("low", "high", "low")[: len(lengths)], *("",) * fill) if "labels" in inputs else None,
    )  # fmt: skip
    return replace(found, prepared=model.prepare(found))


class Waiting(TorchDispatchMode):
    """Collects the operators that would make a GPU wait, or that bring a tensor from the host."""

    NAMES = (
        "_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique", "is_nonzero", "equal.default",
        "lift_fresh", "histc", "repeat_interleave.Tensor",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        name = str(func).removeprefix("aten.")
        by_mask = name.startswith(("index.Tensor", "index_put")) and any(
            isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        if by_mask or any(name == each or name.startswith(f"{each}.") or name == f"{each}" for each in self.NAMES):
            self.found.append(name)
        return func(*args, **(kwargs or {}))
