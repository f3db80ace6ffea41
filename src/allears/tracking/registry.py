"""The export as a registered model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from allears import __version__
from allears.tracking.run import MODEL_DIGEST_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ARTIFACT = "model"


def register(client: MlflowClient, run_id: str, name: str, export: Path, digest: str) -> str | None:
    """Save `export` as a pyfunc model of the run and register it as the next version of `name`.

    Returns the version; the one that has this digest already, if there is one; None when the folder is gone.
    Neither torch nor the model is loaded.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="An audio encoder that allears pretrained.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(MODEL_DIGEST_TAG) == digest:
            return str(version.version)
    if not export.is_dir():
        return None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / ARTIFACT
        save(folder, export)
        client.log_artifacts(run_id, str(folder), ARTIFACT)
    made = client.create_model_version(
        name, source=f"runs:/{run_id}/{ARTIFACT}", run_id=run_id, tags={MODEL_DIGEST_TAG: digest}, await_creation_for=0
    )
    return str(made.version)


def save(folder: Path, export: Path) -> None:
    """Write `folder`: a pyfunc model that holds a copy of `export` and loads it with `allears.tracking.model`."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    signature = ModelSignature(
        inputs=Schema([ColSpec(Array(DataType.double), "audio")]),
        outputs=Schema([ColSpec(Array(DataType.double), "embedding")]),
    )
    pyfunc.save_model(
        str(folder),
        loader_module="allears.tracking.model",
        data_path=str(export),
        signature=signature,
        pip_requirements=[f"allears=={__version__}"],
        metadata={"audio": "mono, at the sample rate of the export's preprocessor_config.json, in [-1, 1]"},
    )
