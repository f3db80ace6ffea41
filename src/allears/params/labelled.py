"""How much labelled audio a probe or a fine-tuning looks at."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from allears.params.base import Params


def _is_share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"a share lies above 0 and at most at 1, found {value:g}; 10 % is 0.1")
    return value


Share = Annotated[float, AfterValidator(_is_share)]


class ClipLimits(Params):
    """Caps, drawn over as many speakers as possible; what they leave out is counted."""

    train: int = Field(default=2000, ge=4, description="training clips; shares of the labels are shares of these")
    dev: int = Field(default=400, ge=2, description="clips of dev speakers, on which everything is chosen")
    test: int = Field(default=2000, ge=2, description="clips of test speakers, read once")
    seconds: float = Field(default=12.0, gt=0.5, description="longer clips: cut for labels, left out for text")
