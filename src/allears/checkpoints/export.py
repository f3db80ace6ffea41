"""Export folders: what users get. `transformers.AutoModel.from_pretrained(folder)` loads one, and so does allears.

```
config.json                 transformers' configuration, ours in its `allears` block
model.safetensors           weights under transformers' names
preprocessor_config.json    transformers' feature extractor for it
provenance.json             data digest, licences, run: what the caller says about the weights
heard.npz                   whom it has heard (`checkpoints.heard`), where that is known
units.safetensors           centres of k-means, where the objective used units
README.md                   the model card
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from allears.checkpoints.heard import Heard, save_heard
from allears.checkpoints.known import CONFIG, PROVENANCE, WEIGHTS
from allears.errors import ConfigError, StorageError
from allears.models.base import Encoder
from allears.models.build import build_encoder, config_of, publish, weights_of
from allears.params.model import AnyEncoderConfig
from allears.storage.files import atomic_folder, atomic_path, read_json, storage_error, write_json, write_text

Result = TypeVar("Result")
UNITS = "units.safetensors"


@dataclass(frozen=True, slots=True)
class UnitModel:
    """Centres [V, C] of k-means; `source` says of what: MFCCs, or a layer of an encoder."""

    centres_VC: Tensor
    source: str

    def card(self) -> str:
        """Return what the export's card says of them."""
        V, C = self.centres_VC.shape
        return f"`{UNITS}` holds the unit model: {V} centres of k-means (`centres_VC`, {C} values) on {self.source}.\n"


def save_export(
    folder: Path,
    modules: Mapping[str, nn.Module],
    provenance: dict[str, Any],
    card: str,
    heard: Heard | None = None,
    units: UnitModel | None = None,
) -> Path:
    """Write what an objective exports to `folder`, atomically: it holds the old export or the whole new one.

    `encoder` lies in the folder itself, where transformers and `load_export` look for it; another encoder, or a model
    of transformers, in a folder of its name; any other module as `NAME.safetensors`. Returns `folder`.

    `provenance` is JSON-like and should name run, data digest and licences; `card` is Markdown, to which a section on
    how to load the model is added.
    """
    with atomic_folder(folder) as temporary:
        write_json(temporary / PROVENANCE, provenance)
        if heard is not None:
            save_heard(temporary, heard)
        if units is not None:
            write_weights(temporary / UNITS, {"centres_VC": units.centres_VC}, {"source": units.source})
        usage = [_save_module(temporary, name, module) for name, module in modules.items()]
        usage += [units.card()] if units is not None else []
        write_text(temporary / "README.md", "\n\n".join([card.rstrip(), *filter(None, usage)]))
    return folder


def _save_module(folder: Path, name: str, module: nn.Module) -> str:
    """Write one module; returns how to load it, for the card."""
    if isinstance(module, Encoder):
        place = folder if name == "encoder" else folder / name
        place.mkdir(exist_ok=True)
        published = publish(module)
        write_json(place / CONFIG, published.config)
        write_json(place / "preprocessor_config.json", published.preprocessor)
        write_weights(place / WEIGHTS, published.weights, {"format": "pt"})
        return published.usage if name == "encoder" else ""
    if save := getattr(module, "save_pretrained", None):  # a model of transformers, whose import takes seconds
        save(folder / name)
        return ""
    write_weights(folder / f"{name}.safetensors", module.state_dict(), {"format": "pt"})
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    return f"`{name}.safetensors` holds the weights of a `{kind}`, under the names of its `state_dict`.\n"


def load_export(folder: Path) -> Encoder:
    """Return the encoder of an export folder, or of any checkpoint folder of transformers that a family here computes.

    Raises StorageError when a file is missing or broken, ConfigError when the model is another one, or configuration
    and weights do not belong together.
    """
    config = read_config(folder / CONFIG)
    encoder = build_encoder(config)
    weights = weights_of(read_weights(folder / WEIGHTS), config)
    _check_shapes(folder, {name: value.shape for name, value in encoder.state_dict().items()}, weights)
    encoder.load_state_dict(weights)
    return encoder.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; StorageError names the file when it is missing or broken."""
    return _reading(path, lambda: load_file(path))


def write_weights(path: Path, weights: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors; StorageError when the disk is full or the folder read-only."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    try:
        save_file(tensors, path, metadata)
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"{path} cannot be written ({error}); free some space or choose a folder that you may write to, "
            "and run the same command again"
        ) from error


def save_head(path: Path, head: torch.nn.Module, facts: dict[str, str]) -> None:
    """Write a head's weights beside an export, with `facts` (kind, classes …) as the file's metadata."""
    with atomic_path(path) as temporary:
        write_weights(temporary, head.state_dict(), facts)


def load_head(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights and facts of a head that `save_head` wrote."""

    def metadata() -> dict[str, str]:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})

    return read_weights(path), _reading(path, metadata)


def read_config(path: Path) -> AnyEncoderConfig:
    """Return our configuration of a `config.json`; ConfigError when no family here computes that model."""
    try:
        return config_of(read_json(path))
    except (TypeError, AttributeError, KeyError) as error:
        raise ConfigError(f"{path} is not the configuration of an encoder ({type(error).__name__}: {error})") from error
    except ValidationError as error:
        wrong = "; ".join(_detail(one) for one in error.errors(include_url=False))
        raise ConfigError(
            f"{path} describes an encoder that this version of allears cannot build ({wrong}); another version of "
            "allears wrote it, or it was edited: take the version that wrote it, or an unchanged copy of the folder"
        ) from error


def _detail(detail: ErrorDetails) -> str:
    where = ".".join(map(str, detail["loc"]))
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _check_shapes(folder: Path, expected: Mapping[str, torch.Size], found: Mapping[str, Tensor]) -> None:
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ConfigError(
                f"{folder / WEIGHTS} does not belong to {folder / CONFIG}: weight {name!r} has shape "
                f"{list(found[name].shape)}, and the configuration makes it {list(shape)}; take both files from the "
                "same folder, or export or download it again"
            )


def _reading(path: Path, read: Callable[[], Result]) -> Result:
    try:
        path.open("rb").close()  # safetensors' own errors lack the errno
        return read()
    except OSError as error:
        raise storage_error(path, error) from error
    except safetensors.SafetensorError as error:
        raise StorageError(
            f"{path} is not a whole safetensors file ({error}); it was cut off or damaged: delete its folder and run "
            "the step that writes it again, or download it again"
        ) from error
