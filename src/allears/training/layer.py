"""Features of clips from a layer of an encoder, for k-means (HuBERT, arXiv 2106.07447, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from allears.checkpoints.export import load_export
from allears.types import Padded


def use_one_thread() -> None:
    """Compute with one thread in this process."""
    torch.set_num_threads(1)


def layer_features(folder: Path, layer: int) -> Callable[[NDArray[np.float32], int], NDArray[np.float32]]:
    """Return a function of a clip's samples [T] at the encoder's rate that gives the layer's output [F, D].

    `layer`: 0 is the input of the first block. Blocks above it are not computed.
    """
    encoder = load_export(folder).truncated(max(1, layer)).eval()

    @torch.inference_mode()
    def features(audio_T: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        del rate_hz  # shards have the encoder's
        audio = Padded(torch.from_numpy(audio_T)[None], torch.tensor([len(audio_T)]), full=True)
        output = encoder(audio)
        return np.ascontiguousarray(output.layers[layer][0, : int(output.frames_B[0])].numpy(), dtype=np.float32)

    return features
