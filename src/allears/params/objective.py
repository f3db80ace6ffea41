"""What a pretraining objective can be told. `name` chooses it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from allears.params.base import Params


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


class MaskedUnitsConfig(Params):
    """Predict the k-means unit of hidden frames (HuBERT, arXiv 2106.07447)."""

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

    def check_blocks(self, blocks: int) -> None:
        """Raises ValueError when `intermediate_blocks` names a block that an encoder of `blocks` blocks lacks."""
        if wrong := [block for block in self.intermediate_blocks if not 1 <= block < blocks]:
            allowed = f"use numbers from 1 to {blocks - 1}" if blocks > 1 else "leave it empty"
            raise ValueError(
                f"pretrain.objectives.masked_units.intermediate_blocks names {wrong}; the encoder has {blocks} blocks "
                f"(pretrain.model.conformer.blocks) and the last one predicts anyway, so {allowed}"
            )


class BestRQConfig(Params):
    """Predict codes of a frozen random quantizer at hidden frames (BEST-RQ, arXiv 2202.01855)."""

    name: Literal["best_rq"] = "best_rq"
    codebooks: int = Field(default=4, ge=1, description="independent quantizers; their losses are averaged")
    codes: int = Field(default=1024, ge=2, description="entries of each codebook")
    code_width: int = Field(default=16, ge=2, description="width of the random projection")
    mask: MaskConfig = MaskConfig()
    visible_weight: float = Field(
        default=0.0, ge=0, description="weight of a visible frame's loss, a hidden one's is 1 [pred_nomask_weight]"
    )


ObjectiveConfig = Annotated[MaskedUnitsConfig | BestRQConfig, Field(discriminator="name")]
