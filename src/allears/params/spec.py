"""What a training process is told: one of these, as JSON, told apart by `task`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from allears.errors import ConfigError
from allears.params.spec_finetune import FinetuneSpec
from allears.params.spec_pretrain import PretrainSpec
from allears.params.spec_probe import ProbeSpec
from allears.storage.files import storage_error, write_text

Spec = Annotated[PretrainSpec | ProbeSpec | FinetuneSpec, Field(discriminator="task")]
_ADAPTER: TypeAdapter[PretrainSpec | ProbeSpec | FinetuneSpec] = TypeAdapter(Spec)


def read_spec(path: Path) -> PretrainSpec | ProbeSpec | FinetuneSpec:
    """The spec in `path`; ConfigError says what in it is wrong."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise storage_error(path, error) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path} is not a training's spec: {where or 'the file'}: {first['msg']}. It is written by the pipeline "
            "that starts the training; run that again"
        ) from error


def write_spec(path: Path, spec: PretrainSpec | ProbeSpec | FinetuneSpec) -> None:
    """Write `spec` where `read_spec` finds it."""
    write_text(path, spec.model_dump_json(indent=1) + "\n")
