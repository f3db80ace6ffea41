"""What is put on an encoder for a task.

Legend: `B` clips, `F` frames, `D` width, `V` classes or symbols, `L` layers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CTCKind = Literal["linear", "conv", "bilstm"]


def true_frames(frames_B: Tensor, F: int) -> Tensor:
    """Bool [B, F, 1]: the frames that belong to the clip."""
    return (torch.arange(F, device=frames_B.device) < frames_B[:, None])[..., None]


def mean_pool(x_BFD: Tensor, frames_B: Tensor) -> Tensor:
    """The mean over each clip's true frames, [B, D]; zeros for a clip without any."""
    kept = x_BFD.masked_fill(~true_frames(frames_B, x_BFD.shape[1]), 0.0)
    return kept.sum(1) / frames_B.clamp(min=1)[:, None].to(x_BFD.dtype)


class MeanPoolLinear(nn.Module):
    """The mean over true frames, then a linear layer: classification."""

    def __init__(self, width: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        _draw(self, seed)

    def forward(self, x_BFD: Tensor, frames_B: Tensor) -> Tensor:
        """Logits [B, V]."""
        logits_BV: Tensor = self.linear(mean_pool(x_BFD.float(), frames_B))
        return logits_BV


class CTCHead(nn.Module):
    """Log-probabilities of symbols at each frame. `kind`: a linear layer, after one convolution (5 frames) or one
    bidirectional LSTM. Padding reaches no true frame.
    """

    def __init__(self, width: int, symbols: int, kind: CTCKind = "linear", hidden: int = 128, seed: int = 0) -> None:
        super().__init__()
        self.kind = kind
        match kind:
            case "linear":
                self.body: nn.Module = nn.Identity()
            case "conv":
                self.body = nn.Conv1d(width, 2 * hidden, 5, padding=2)
            case "bilstm":
                self.body = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(width if kind == "linear" else 2 * hidden, symbols)
        _draw(self, seed)

    def forward(self, x_BFD: Tensor, frames_B: Tensor) -> Tensor:
        """Log-probabilities float32 [B, F, V]; symbol 0 is the blank by convention of the tokenizers."""
        match self.kind:
            case "conv":
                x_BFD = x_BFD.masked_fill(~true_frames(frames_B, x_BFD.shape[1]), 0.0)
                x_BFD = functional.silu(self.body(x_BFD.transpose(1, 2)).transpose(1, 2))
            case "bilstm":
                lengths = frames_B.clamp(min=1).cpu()
                packed = pack_padded_sequence(x_BFD, lengths, batch_first=True, enforce_sorted=False)
                x_BFD, _ = pad_packed_sequence(self.body(packed)[0], batch_first=True, total_length=x_BFD.shape[1])
            case "linear":
                pass
        return functional.log_softmax(self.linear(x_BFD).float(), dim=-1)


def _draw(module: nn.Module, seed: int) -> None:
    """Weights uniform in ±1/√fan-in, biases zero, from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        else:
            bound = parameter[0].numel() ** -0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
