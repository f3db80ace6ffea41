"""Parameters of `pretrain`. Budgets are in updates, never in minutes, so that a run repeats on another machine."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from allears.params.base import Accelerator, Params, Precision, known, members, tagged
from allears.params.model import AnyEncoderConfig
from allears.params.objective import AnyObjectiveConfig
from allears.params.probe import ProbeParams


class BatchParams(Params):
    """What one update hears."""

    seconds: float = Field(default=10.0, gt=0, description="clips × longest crop of a micro-batch, padding included")
    crop_s: float = Field(default=4.0, gt=0, description="longer clips are cropped at random, anew in each epoch")
    min_s: float = Field(default=0.2, ge=0.1, description="shorter clips are left out, and counted")
    tokens: int = Field(
        default=2048, ge=16, description="characters in a micro-batch, for objectives that read text alone"
    )
    buckets: int = Field(
        default=0, ge=0, description="lengths to which crops are cut, so that no batch is padded; 0: any length"
    )
    micro_batches: int = Field(default=1, ge=1, description="of an update; the gradient is their sum over all counts")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_s < self.crop_s <= self.seconds:
            raise ValueError(
                "pretrain.batch.min_s must be under pretrain.batch.crop_s, and that not over pretrain.batch.seconds; "
                f"found {self.min_s:g}, {self.crop_s:g} and {self.seconds:g}"
            )
        return self


class OptimiserParams(Params):
    """AdamW: linear warm-up to the peak, then half a cosine down to a floor at the last update."""

    learning_rate: float = Field(default=1e-3, gt=0, description="at the peak")
    warmup_updates: int = Field(default=300, ge=1)
    floor: float = Field(default=0.02, ge=0, le=1, description="of the peak, reached at the last update")
    restart: float = Field(default=0.5, gt=0, le=1, description="of the peak: where `extend` warms up to again")
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(default=0.01, ge=0, description="of matrices and kernels; not of biases and norms")
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient of an update")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="rate of a block over that of the one above it; heads have the full rate"
    )


class UnitParams(Params):
    """The unit model of `masked_units`: k-means on MFCCs of training clips, at the encoder's frame rate."""

    normalise: Literal["none", "mean", "variance"] = Field(
        default="mean",
        description="over each clip's own frames. none: as HuBERT; mean: without the channel (cepstral mean "
        "normalisation); variance: the deltas then count as much as the spectrum, and units change every frame",
    )
    fit_frames: int = Field(
        default=200_000, ge=1000, description="frames that k-means sees, of as many clips as needed"
    )
    seed: int = Field(default=0, ge=0)


class GuardParams(Params):
    """When a training is stopped because it cannot learn any more."""

    collapse_perplexity: float = Field(
        default=1.5, ge=1, description="effective number of codes at or under which targets or predictions collapsed"
    )
    patience_updates: int = Field(default=300, ge=1, description="collapsed predictions stop the run after so many")


class PretrainParams(Params):
    """Everything `pretrain` decides by."""

    objective: str = "masked_units"
    objectives: dict[str, AnyObjectiveConfig] = Field(
        default={}, validate_default=True, description="settings of each; only those of the chosen one matter"
    )
    encoder: str = "conformer"
    encoders: dict[str, AnyEncoderConfig] = Field(
        default={}, validate_default=True, description="settings of each family; only those of the chosen one matter"
    )
    updates: int = Field(default=1500, ge=1, description="the budget; with `extend`, how many are added")
    corpora: dict[str, Annotated[float, Field(gt=0, lt=1)] | None] = Field(
        default={},
        description="other corpora that are heard with this one → share of the audio heard; null: each clip as often "
        "in an epoch as its own audit says",
    )
    batch: BatchParams = BatchParams()
    optimiser: OptimiserParams = OptimiserParams()
    units: UnitParams = UnitParams()
    units_from: str | None = Field(
        default=None,
        pattern=r"^[^:]+:\d+$",
        description="RUN:LAYER of this corpus, or BASE:LAYER: units of that layer (HuBERT's second iteration)",
    )
    seed: int = Field(default=0, ge=0)
    init_from: str | None = Field(
        default=None, description="a declared base (`allears base add`): its encoder is continued instead of a new one"
    )
    frozen_blocks: int = Field(
        default=0, ge=0, description="with `init_from`: lowest blocks, and all below them, that stay as they are"
    )
    extend: str | None = Field(default=None, description="a run of this corpus, by the start of its name")
    from_epoch: int | None = Field(
        default=None,
        ge=0,
        description="with `extend`: begin with this epoch, for batches that are not those of the run",
    )
    processes: int = Field(
        default=1, ge=1, description="on this machine, one a GPU; the micro-batches of an update are shared out"
    )
    launch: Literal["child", "external"] = Field(
        default="child", description="external: write spec.json and say what to run on a cluster's nodes"
    )
    reader_threads: int = Field(default=1, ge=1, description="of each process, that decode ahead of the training")
    shards_from: tuple[str, ...] = Field(
        default=(), description="URLs of copies (`allears shards copy`) to train from; empty: the shards that are here"
    )
    cache_gb: float = Field(
        default=0.0, ge=0, description="of clips that are kept here once they were read from a copy; 0: none"
    )
    on_damage: Literal["stop", "skip"] = Field(
        default="stop", description="a clip whose bytes are damaged or gone; skip: go on without it, named and counted"
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="of several processes: ddp: each holds all weights; fsdp: a part of them"
    )
    timeout_s: float = Field(
        default=1800.0, gt=0, description="how long a process waits for the others before the training stops"
    )
    accelerator: Accelerator = Field(default="auto", description="of the training and its probe; auto: gpu, if any")
    precision: Precision = Field(
        default="auto", description="of the training and its probe; auto: bf16-mixed on a GPU, 32 on a CPU"
    )
    compile: bool = Field(default=False, description="torch.compile; takes minutes to start, for long runs on a GPU")
    checkpoint_every: int = Field(default=500, ge=1, description="updates; a killed run goes on from the last one")
    log_every: int = Field(default=50, ge=1, description="updates that one row of metrics is taken over")
    validate_every: int = Field(default=500, ge=1, description="updates between losses on dev speakers")
    validate_batches: int = Field(default=20, ge=0, description="micro-batches of that; 0: never")
    guards: GuardParams = GuardParams()
    probe: ProbeParams = ProbeParams()

    @field_validator("shards_from", mode="before")
    @classmethod
    def _one_url(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _shared_out(self) -> Self:
        if self.batch.micro_batches % self.processes:
            raise ValueError(
                f"pretrain.batch.micro_batches ({self.batch.micro_batches}) must be a multiple of pretrain.processes "
                f"({self.processes}): each process gets as many of an update"
            )
        return self

    @model_validator(mode="after")
    def _extends_at_an_epoch(self) -> Self:
        if self.from_epoch is not None and self.extend is None:
            raise ValueError(
                f"pretrain.from_epoch ({self.from_epoch}) says where a run goes on that pretrain.extend names, and "
                "that names none; a new run begins with epoch 0"
            )
        return self

    @model_validator(mode="after")
    def _frozen_from_somewhere(self) -> Self:
        if self.frozen_blocks and self.init_from is None:
            raise ValueError(
                f"pretrain.frozen_blocks is {self.frozen_blocks}, and new weights that stay as they are learn nothing; "
                "name the base that they are of with pretrain.init_from, or set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _units_of_something(self) -> Self:
        if self.units_from is not None and "units" not in self.chosen.inputs:
            raise ValueError(
                f"pretrain.units_from is '{self.units_from}', but pretrain.objective={self.objective} learns no units; "
                "set it to null, or choose masked_units or next_unit"
            )
        return self

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        shares = {name: share for name, share in self.corpora.items() if share is not None}
        if math.fsum(shares.values()) >= 1:
            found = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise ValueError(
                f"the shares of pretrain.corpora ({found}) leave nothing for the corpus itself: together they must be "
                "under 1"
            )
        return self

    @field_validator("objectives", mode="before")
    @classmethod
    def _named_objectives(cls, value: Any) -> Any:
        return tagged("pretrain.objectives", value, AnyObjectiveConfig, "name")

    @field_validator("encoders", mode="before")
    @classmethod
    def _named_encoders(cls, value: Any) -> Any:
        return tagged("pretrain.encoders", value, AnyEncoderConfig, "family")

    @field_validator("objective")
    @classmethod
    def _known_objective(cls, value: str) -> str:
        return known("pretrain.objective", value, members(AnyObjectiveConfig, "name"))

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        return known("pretrain.encoder", value, members(AnyEncoderConfig, "family"))

    @model_validator(mode="after")
    def _few_shapes(self) -> Self:
        if self.compile and self.strategy == "fsdp":
            raise ValueError(
                "pretrain.compile is true and pretrain.strategy fsdp: weights that are gathered block by block cannot "
                "be compiled as one graph; set pretrain.strategy=ddp, or pretrain.compile=false"
            )
        if self.compile and not self.batch.buckets:
            raise ValueError(
                "pretrain.compile is true and pretrain.batch.buckets 0: each length of a batch would be compiled "
                "anew, for minutes; set pretrain.batch.buckets, to 12 for example, or pretrain.compile=false"
            )
        return self

    @model_validator(mode="after")
    def _suit_each_other(self) -> Self:
        if self.init_from is None:  # else the encoder is that of the base
            self.chosen.check(self.chosen_encoder)
        return self

    @property
    def chosen(self) -> AnyObjectiveConfig:
        """Settings of the objective that is trained."""
        return self.objectives[self.objective]

    @property
    def chosen_encoder(self) -> AnyEncoderConfig:
        """Settings of the encoder that is trained."""
        return self.encoders[self.encoder]
