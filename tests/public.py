"""Tiny public encoders, as transformers writes them: what a stranger would declare as a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model

TINY: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def save_wav2vec2(folder: Path, *, heads: bool = False, **sizes: Any) -> Path:
    """Write a wav2vec 2.0 with new weights, with those of its pretraining's heads if asked; returns the folder."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(**TINY | {"codevector_dim": 8, "proj_codevector_dim": 8} | sizes)
    (Wav2Vec2ForPreTraining if heads else Wav2Vec2Model)(config).save_pretrained(folder)
    return folder


def save_hubert(folder: Path) -> Path:
    """Write a HuBERT with new weights; returns the folder."""
    torch.manual_seed(0)
    HubertModel(HubertConfig(**TINY)).save_pretrained(folder)
    return folder
