"""What MLflow loads when it serves a registered encoder: audio in, one embedding a clip out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from allears.types import Padded


class EncoderModel:
    """A pyfunc over an export folder; the weights are read when it is made."""

    def __init__(self, folder: Path) -> None:
        from allears.checkpoints.export import load_export

        self._encoder = load_export(folder).eval()

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Column `audio` (samples of one clip a row, mono, at the export's sample rate) → column `embedding`: the
        mean over true frames of the last layer.
        """
        import numpy as np
        import torch

        del params  # part of MLflow's interface; there are none
        rows = []
        for clip in model_input["audio"]:
            audio_BT = torch.from_numpy(np.asarray(clip, dtype=np.float32))[None]
            with torch.inference_mode():
                output = self._encoder(Padded(audio_BT, torch.tensor([audio_BT.shape[1]]), full=True))
            frames = int(output.frames_B[0])
            rows.append(output.last_BFD[0, :frames].mean(dim=0).tolist())
        return pd.DataFrame({"embedding": rows})


def _load_pyfunc(data_path: str) -> EncoderModel:
    """MLflow's entry point."""
    return EncoderModel(Path(data_path))
