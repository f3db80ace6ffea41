"""The export as a registered model: registered without torch, loaded by MLflow with the same embeddings."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import pyfunc
from mlflow.tracking import MlflowClient

from allears.checkpoints.export import save_export
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig
from allears.storage.digest import file_digest
from allears.types import Padded

CONFIG = ConformerConfig(width=16, blocks=1, heads=2, ffn_width=16, kernel_frames=3)
REGISTER = """
import sys, time
from pathlib import Path
from mlflow.tracking import MlflowClient
from allears.tracking import Outbox, TrackedRun
from allears.tracking.sender import Sender
from allears.tracking.store import Store
folder, digest, uri, artifacts, uid = Path(sys.argv[1]), *sys.argv[2:]
box = Outbox(folder.parent / "boxes", uid)
run = TrackedRun(box, uid, "pretrain", {})
run.model("allears-encoder-mine", folder, digest)
run.end("FINISHED")
MlflowClient(uri).search_experiments()  # a database is made once, by whatever comes first
before = time.monotonic()
assert Sender(box.folder, Store(uri, "models", artifacts)).send()
print(time.monotonic() - before, "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    encoder = build_encoder(CONFIG, seed=1).eval()
    export = save_export(folder / "export", {"encoder": encoder}, {}, "a card")
    digest = file_digest(export / "model.safetensors")
    uri, artifacts = f"sqlite:///{folder}/mlflow.db", (folder / "mlruns").as_uri()
    printed = [
        subprocess.run(
            [sys.executable, "-c", REGISTER, str(export), digest, uri, artifacts, uid * 32],
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for uid in "ab"
    ]  # fmt: skip
    return encoder, uri, printed


def test_registering_is_quick_and_needs_no_torch(registered):
    _, _, printed = registered
    for seconds, imported in printed:
        assert float(seconds) < 15  # 1 to 3 s on an idle machine
        assert imported == "False"


def test_the_same_weights_are_registered_once(registered):
    _, uri, _ = registered
    (version,) = MlflowClient(uri, uri).search_model_versions("name = 'allears-encoder-mine'")
    assert version.tags["allears.export"]


def test_mlflow_loads_it_with_the_same_embeddings(registered, tmp_path):
    encoder, uri, _ = registered
    client = MlflowClient(uri, uri)
    (version,) = client.search_model_versions("name = 'allears-encoder-mine'")
    folder = client.download_artifacts(version.run_id, "model", str(tmp_path))
    audio_T = np.sin(np.arange(16_000) / 20).astype(np.float32)
    before = time.monotonic()
    rows = pyfunc.load_model(folder).predict(
        pd.DataFrame({"audio": [audio_T.astype(float), audio_T[:8000].astype(float)]})
    )
    with torch.inference_mode():
        output = encoder(Padded(torch.from_numpy(audio_T)[None], torch.tensor([16_000])))
    expected = output.last_BFD[0, : int(output.frames_B[0])].mean(0).numpy()
    np.testing.assert_allclose(rows["embedding"][0], expected, atol=1e-5)
    assert len(rows) == 2
    assert time.monotonic() - before < 60
