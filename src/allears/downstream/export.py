"""Export folders of task models: the encoder as `checkpoints.export` writes it, and `head.safetensors` beside it.

`learned.npz` says which clips' targets it was fine-tuned on (`checkpoints.learned`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from allears.checkpoints.bases import base_in_words, base_of, unknown_speakers
from allears.checkpoints.export import load_export, load_head, save_export, save_head
from allears.checkpoints.heard import Heard
from allears.checkpoints.learned import Learned, save_learned
from allears.downstream.build import build_task
from allears.downstream.task import TaskModel
from allears.errors import StorageError
from allears.params.task import AnyTaskConfig

HEAD = "head.safetensors"
_CONFIG: TypeAdapter[AnyTaskConfig] = TypeAdapter(AnyTaskConfig)


def save_task_model(
    folder: Path,
    model: TaskModel[Any],
    provenance: dict[str, Any],
    heard: Heard | None = None,
    learned: Learned | None = None,
) -> Path:
    """Write encoder and head to `folder`; the head comes last. Raises ValueError for a task without an encoder."""
    if model.encoder is None:
        raise ValueError("a task on the outputs of a frozen encoder has no encoder to export")
    save_export(folder, {"encoder": model.encoder}, provenance, task_card(model, provenance), heard)
    if learned is not None:
        save_learned(folder, learned)
    save_head(folder / HEAD, model.head, {"config": model.config.model_dump_json()})
    return folder


def load_task_model(folder: Path) -> TaskModel[Any]:
    """The task model of a folder, in evaluation mode.

    `model.predict(model.encoder.features(Padded(audio_BT, samples_B)))` gives one prediction per clip. Raises
    StorageError when the folder holds an encoder without a head, or a head that is damaged or of another encoder.
    """
    if not (folder / HEAD).exists():
        raise StorageError(f"{folder} has no {HEAD}: it is an encoder, not a task model; run the finetune pipeline")
    weights, facts = load_head(folder / HEAD)
    encoder = load_export(folder)
    try:
        model = build_task(_CONFIG.validate_json(facts["config"]), encoder.config.width, encoder)
        model.head.load_state_dict(weights)
    except (KeyError, ValidationError, RuntimeError) as error:
        raise StorageError(
            f"{folder / HEAD} is not the head of this encoder ({' '.join(str(error).split())[:160]}): it is damaged or "
            "was copied from elsewhere; run the finetune pipeline again"
        ) from error
    return model.eval()


def task_card(model: TaskModel[Any], provenance: dict[str, Any]) -> str:
    """Return what the model does and which public base it continues, as Markdown."""
    base = base_of(provenance)
    continued = f"\nIt continues a public encoder: {base_in_words(base)}. " if base else ""
    continued += " ".join(unknown_speakers(provenance))
    return f"""# Fine-tuned listening model

{model.card()} `allears.downstream.export.load_task_model(folder)` loads encoder and head; `provenance.json` names the
recordings and licences it comes from.
{continued}
"""
