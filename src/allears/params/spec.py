"""What a training process is told: one of these, as JSON, told apart by `task`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_pretrain import PretrainSpec
from allears.params.spec_probe import ProbeSpec

AnySpec = PretrainSpec | ProbeSpec | FinetuneSpec
ADAPTER: TypeAdapter[AnySpec] = TypeAdapter(Annotated[AnySpec, Field(discriminator="task")])
