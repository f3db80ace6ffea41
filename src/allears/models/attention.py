"""Self-attention, where a family has no quirks of its own.

Legend: `B` clips, `F` frames, `D` width, `H` heads, `E` head size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Multi-head attention; query, key and value are one matrix."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BFD: Tensor, keys_B11F: Tensor | None) -> Tensor:
        """Same shape; `keys_B11F` bool: which frames may be attended to (None: all)."""
        B, F, D = x_BFD.shape
        shape = (B, F, self.heads, D // self.heads)
        query, key, value = (part.view(shape).transpose(1, 2) for part in self.query_key_value(x_BFD).chunk(3, -1))
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=keys_B11F, dropout_p=self.dropout.p if self.training else 0.0
        )
        out_BFD: Tensor = self.dropout(self.out(attended.transpose(1, 2).reshape(B, F, D)))
        return out_BFD


def key_mask(frames_B: Tensor, F: int) -> Tensor:
    """Return bool [B, 1, 1, F], True at true frames.

    A row without any true frame (it only fills a batch) attends to its first frame, so that no softmax is empty.
    """
    return (torch.arange(F, device=frames_B.device) < frames_B.clamp(min=1)[:, None])[:, None, None]
