"""Where and in which precision a training computes: one decision for pretraining, probe and fine-tuning."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from allears.errors import ConfigError
from allears.params.base import Accelerator, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """`local`: number of this process's GPU. `bf16-mixed`: weights and losses in float32, products in bfloat16."""

    accelerator: Literal["cpu", "gpu"] = "cpu"
    precision: Literal["32", "bf16-mixed"] = "32"
    local: int = 0

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return torch.device("cuda", self.local) if self.accelerator == "gpu" else torch.device("cpu")

    @property
    def name(self) -> str:
        """Name of a folder whose results must not mix with those of another accelerator or precision."""
        return self.accelerator if self.precision == "32" else f"{self.accelerator}-{self.precision}"

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass in this precision."""
        if self.precision == "32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def set_up(self) -> None:
        """Let a GPU compute what is left in float32 in TF32."""
        if self.accelerator == "gpu":
            torch.set_float32_matmul_precision("high")


CPU = Hardware()


def choose_hardware(
    group: str, accelerator: Accelerator, precision: Precision, *, gpus: int, local: int = 0, processes: int = 1
) -> Hardware:
    """Return the hardware for the parameters `group`.accelerator and `group`.precision.

    `gpus` there are on this machine, for `processes` of which this is number `local`. ConfigError when a GPU is
    required and there is none, or when there are fewer than processes.
    """
    if accelerator == "gpu" and not gpus:
        raise ConfigError(
            f"{group}.accelerator is gpu, but torch finds no GPU on this machine: set it to auto or cpu, or look at "
            "the driver (allears doctor)"
        )
    gpu = accelerator != "cpu" and gpus > 0
    if gpu and processes > gpus:
        raise ConfigError(
            f"{processes} processes on this machine need one GPU each, and torch finds {gpus}: lower "
            f"{group}.processes (or torchrun's --nproc-per-node)"
        )
    if precision == "auto":
        precision = "bf16-mixed" if gpu else "32"
    return Hardware(accelerator="gpu" if gpu else "cpu", precision=precision, local=local if gpu else 0)


def count_gpus() -> int:
    """Return how many GPUs torch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
