"""Labelled clips with their inputs in memory, and the order in which they are trained on.

Legend: `B` clips in a batch, `F` frames, `C` features (or the width of a frozen encoder).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from allears.types import Padded

POOL_BATCHES = 8
GPU_TIMES = 10  # the size of a forward pass without gradients on a GPU, in those of a CPU: about 10 minutes of audio


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """`inputs`: one tensor [F, C] a clip (float16 to save memory); the other fields align with it."""

    inputs: Sequence[Tensor]
    references: Sequence[str]
    clips: Sequence[str]
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> Examples:
        """The clips at `positions`, in that order."""
        return Examples(
            inputs=[self.inputs[int(i)] for i in positions],
            references=[self.references[int(i)] for i in positions],
            clips=[self.clips[int(i)] for i in positions],
            groups=[self.groups[int(i)] for i in positions],
        )

    def batch(self, positions: Sequence[int] | NDArray[np.int64], device: torch.device) -> Padded:
        """Return inputs [B, F, C] float32, zero-padded."""
        return pad([self.inputs[int(i)] for i in positions], device)


def pad(sequences: Sequence[Tensor], device: torch.device) -> Padded:
    """Return sequences of different lengths as one float32 batch on `device`; a GPU is sent it without waiting."""
    lengths = [len(sequence) for sequence in sequences]
    data, lengths_B = pad_sequence(list(sequences), batch_first=True), torch.tensor(lengths)
    if device.type != "cpu":
        data, lengths_B = (part.pin_memory().to(device, non_blocking=True) for part in (data, lengths_B))
    full = min(lengths) == max(lengths)
    return Padded(data.to(torch.float32), lengths_B, full, host_lengths=tuple(lengths))


def forward_size(size: int, device: torch.device) -> int:
    """Return how much a forward pass without gradients takes on `device`, when a CPU takes `size`."""
    return size if device.type == "cpu" else GPU_TIMES * size


def training_batches(frames: Sequence[int], batch_clips: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Endless batches of positions: each epoch a new order, clips of like length together, no short batch.

    An epoch is every clip once, then the first of the next epoch fill its last batch; fewer clips than a batch repeat.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    lengths, waiting = np.asarray(frames), np.zeros(0, dtype=np.int64)
    pool = POOL_BATCHES * batch_clips
    while True:
        while len(waiting) < pool:
            waiting = np.concatenate([waiting, generator.permutation(len(lengths))])
        chunk, waiting = waiting[:pool], waiting[pool:]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        for number in generator.permutation(POOL_BATCHES):
            yield chunk[number * batch_clips : (number + 1) * batch_clips]


def length_batches(lengths: Sequence[int], most: int) -> Iterator[NDArray[np.int64]]:
    """Each position once, from short to long; clips × longest of a batch at most `most` (one clip at least)."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - start + 1) * lengths[int(order[end])] > most:
            yield order[start:end]
            start = end
