"""Settings of the pretraining objectives: one class per objective, `AnyObjectiveConfig` lists them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from allears.params.base import Params
from allears.params.model import EncoderConfig
from allears.types import Cost, Input


class MaskConfig(Params):
    """Spans of frames that are hidden from the encoder."""

    share: float = Field(default=0.55, gt=0, lt=1, description="expected share of hidden frames")
    span_frames: int = Field(default=4, ge=1, description="encoder frames in a span (spans may overlap)")

    @property
    def start_probability(self) -> float:
        """The chance that a span starts at a frame: a frame stays visible when none of `span_frames` starts hit it.

        So 1 - (1 - p)^span = share. HuBERT's p = .08 with spans of 10 hides .566, BEST-RQ's .01 with spans of 40 .331.
        """
        return 1.0 - float((1.0 - self.share) ** (1.0 / self.span_frames))


class ObjectiveConfig(Params):
    """What every objective's settings have. `name` chooses it under `pretrain.objective`.

    `inputs`: what a batch must carry; nothing else is opened, decoded or sent. `cost`: what the capacity of a batch
    counts. `has_encoder`: whether it trains one. `unit_classes`: how many units the unit model
    must have, where units are an input.
    """

    inputs: ClassVar[frozenset[Input]]
    cost: ClassVar[Cost] = "samples"
    has_encoder: ClassVar[bool] = True
    name: str

    @property
    def unit_classes(self) -> int:
        """Classes of the unit model that the objective needs; 0 for none."""
        return 0

    def check(self, encoder: EncoderConfig) -> None:
        """Raise ValueError when the settings do not suit the encoder."""


class MaskedUnitsConfig(ObjectiveConfig):
    """Predict the k-means unit of hidden frames (HuBERT, arXiv 2106.07447)."""

    inputs: ClassVar[frozenset[Input]] = frozenset({"audio", "units"})
    name: Literal["masked_units"] = "masked_units"
    units: int = Field(default=100, ge=2, description="classes, as many as the unit model has")
    mask: MaskConfig = MaskConfig()
    visible_weight: float = Field(
        default=0.0, ge=0, description="weight of a visible frame's loss, a hidden one's is 1 [pred_nomask_weight]"
    )
    final_width: int = Field(default=256, ge=2, description="width in which frames and units are compared [final_dim]")
    temperature: float = Field(default=0.1, gt=0, description="divides the cosine [logit_temp]")
    intermediate_blocks: tuple[int, ...] = Field(
        default=(), description="blocks (from 1) that must predict too, each with its own head (ILS, arXiv 2112.08778)"
    )

    @property
    def unit_classes(self) -> int:
        """Classes of the unit model."""
        return self.units

    def check(self, encoder: EncoderConfig) -> None:
        """Raise ValueError when `intermediate_blocks` names a block that the encoder lacks."""
        blocks = encoder.blocks
        if wrong := [block for block in self.intermediate_blocks if not 1 <= block < blocks]:
            allowed = f"use numbers from 1 to {blocks - 1}" if blocks > 1 else "leave it empty"
            raise ValueError(
                f"pretrain.objectives.masked_units.intermediate_blocks names {wrong}; the encoder has {blocks} blocks "
                f"and the last one predicts anyway, so {allowed}"
            )


class BestRQConfig(ObjectiveConfig):
    """Predict codes of a frozen random quantizer at hidden frames (BEST-RQ, arXiv 2202.01855)."""

    inputs: ClassVar[frozenset[Input]] = frozenset({"audio"})
    name: Literal["best_rq"] = "best_rq"
    codebooks: int = Field(default=4, ge=1, description="independent quantizers; their losses are averaged")
    codes: int = Field(default=1024, ge=2, description="entries of each codebook")
    code_width: int = Field(default=16, ge=2, description="width of the random projection")
    mask: MaskConfig = MaskConfig()
    visible_weight: float = Field(
        default=0.0, ge=0, description="weight of a visible frame's loss, a hidden one's is 1 [pred_nomask_weight]"
    )

    def check(self, encoder: EncoderConfig) -> None:
        """Raise ValueError when the encoder has no features that could be quantized."""
        if not encoder.feature_width:
            raise ValueError(
                f"pretrain.objective is best_rq, which quantizes features, and pretrain.encoder is {encoder.family}, "
                "which takes the waveform itself; use an encoder with a front end, such as conformer"
            )


class Wav2Vec2Config(ObjectiveConfig):
    """Tell a hidden frame's quantized latent from those of other frames (wav2vec 2.0, arXiv 2006.11477).

    Names in brackets are those of fairseq.
    """

    inputs: ClassVar[frozenset[Input]] = frozenset({"audio"})
    name: Literal["wav2vec2"] = "wav2vec2"
    mask: MaskConfig = MaskConfig()
    negatives: int = Field(default=100, ge=1, description="other hidden frames of the same clip [num_negatives]")
    codebooks: int = Field(default=2, ge=1, description="[latent_groups]")
    codes: int = Field(default=320, ge=2, description="of each codebook [latent_vars]")
    code_width: int = Field(default=256, ge=2, description="of the codes of a frame together [latent_dim]")
    final_width: int = Field(
        default=256, ge=2, description="width in which contexts and targets are compared [final_dim]"
    )
    temperature: float = Field(default=0.1, gt=0, description="divides the cosine [logit_temp]")
    gumbel_start: float = Field(
        default=2.0, gt=0, description="temperature of the codes at the first update [latent_temp]"
    )
    gumbel_floor: float = Field(default=0.5, gt=0, description="and at least [latent_temp]")
    gumbel_decay: float = Field(default=0.999995, gt=0, le=1, description="factor per update [latent_temp]")
    diversity_weight: float = Field(default=0.1, ge=0, description="of using all codes alike [loss_weights]")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.code_width % self.codebooks:
            raise ValueError(
                f"code_width {self.code_width} must be a multiple of codebooks ({self.codebooks}): each codebook gives "
                "as many values"
            )
        return self


class NextUnitConfig(ObjectiveConfig):
    """Predict the next unit with a Llama-like language model (GSLM, arXiv 2102.01192); there is no encoder."""

    inputs: ClassVar[frozenset[Input]] = frozenset({"units"})
    cost: ClassVar[Cost] = "units"
    has_encoder: ClassVar[bool] = False
    name: Literal["next_unit"] = "next_unit"
    units: int = Field(default=100, ge=2, description="classes, as many as the unit model has")
    remove_repeats: bool = Field(default=True, description="a unit that lasts for several frames counts once")
    context: int = Field(default=512, ge=2, description="places in a packed row [max_position_embeddings]")
    width: int = Field(default=128, ge=8, description="[hidden_size]")
    blocks: int = Field(default=4, ge=1, description="[num_hidden_layers]")
    heads: int = Field(default=4, ge=1, description="[num_attention_heads]")
    ffn_width: int = Field(default=384, ge=8, description="[intermediate_size]")

    @property
    def unit_classes(self) -> int:
        """Classes of the unit model."""
        return self.units

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"width {self.width} over {self.heads} heads must give an even head size")
        return self


AnyObjectiveConfig = Annotated[
    MaskedUnitsConfig | BestRQConfig | Wav2Vec2Config | NextUnitConfig, Field(discriminator="name")
]
