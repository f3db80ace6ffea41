"""Features of clips, computed once and held in memory.

Legend: `N` clips, `B` clips in a batch, `T` samples, `F` frames, `C` features, `D` width, `L` layers (input first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from allears.downstream.examples import Examples, forward_size, length_batches, pad
from allears.downstream.labels import Labelled
from allears.errors import TrainingError
from allears.models.base import Encoder
from allears.models.heads import mean_pool
from allears.process.hardware import Hardware
from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader

BATCH_S = 60  # seconds of audio in one forward pass on a CPU, padding included
BATCH_FRAMES = 3000


class FeatureStore:
    """The encoder's features [F, C] of the clips that were asked for, cut to `most_s`; a clip is decoded once.

    float16, or float32 where the features are the audio itself.
    """

    def __init__(self, shard_set: ShardSet, encoder: Encoder, most_s: float, hardware: Hardware) -> None:
        self.reader = ShardReader(shard_set)
        self.index = self.reader.index
        self.rate_hz = shard_set.sample_rate_hz
        self.most = int(most_s * self.rate_hz)
        self.encoder, self.hardware = encoder.to(hardware.device), hardware
        self.known: dict[str, Tensor] = {}

    def of(self, clips: Sequence[str]) -> list[Tensor]:
        """Features of `clips`, in order. Raises TrainingError when a clip is not in the shards."""
        missing = [clip for clip in dict.fromkeys(clips) if clip not in self.known]
        if lost := [clip for clip in missing if clip not in self.index.position]:
            raise TrainingError(
                f"clip {lost[0]} and {len(lost) - 1} others are in the table of clips but not in the shards: the two "
                "are of different versions; run the shard pipeline again"
            )
        lengths = [min(int(self.index.samples_N[self.index.position[clip]]), self.most) for clip in missing]
        for positions in length_batches(lengths, forward_size(BATCH_S * self.rate_hz, self.hardware.device)):
            self._compute([missing[int(i)] for i in positions], [lengths[int(i)] for i in positions])
        return [self.known[clip] for clip in clips]

    def examples(self, labelled: Labelled) -> Examples:
        """Labelled clips with their features."""
        return Examples(
            inputs=self.of(labelled.clips),
            references=labelled.references,
            clips=labelled.clips,
            groups=labelled.groups,
        )

    @torch.inference_mode()
    def _compute(self, clips: list[str], lengths: list[int]) -> None:
        audio = [
            torch.from_numpy(self.reader.read(self.index.position[clip], 0, length))
            for clip, length in zip(clips, lengths, strict=True)
        ]
        with self.hardware.autocast():
            features = self.encoder.features(pad(audio, self.hardware.device))
        kept = torch.float16 if self.encoder.cacheable_features else torch.float32
        for clip, features_FC, frames in zip(clips, features.data, features.lengths_B.tolist(), strict=True):
            self.known[clip] = features_FC[: max(frames, 1)].to("cpu", kept).clone()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """What a frozen encoder makes of clips: `pooled_NLD` float32, means over true frames of every layer; and for each
    asked layer one tensor [F, D] float16 a clip.
    """

    pooled_NLD: Tensor
    frames: dict[int, list[Tensor]]


@torch.inference_mode()
def hidden_states(
    encoder: Encoder, inputs: Sequence[Tensor], layers: Sequence[int], hardware: Hardware, *, wanted: set[int]
) -> Hidden:
    """One pass over `inputs` (features, [F, C] each); frames of `layers` are kept for the positions `wanted`."""
    device = hardware.device
    encoder.to(device).eval()
    config = encoder.config
    pooled_NLD = torch.zeros(len(inputs), config.blocks + 1, config.width)
    frames: dict[int, list[Tensor]] = {layer: [torch.zeros(0)] * len(inputs) for layer in layers}
    most = forward_size(BATCH_FRAMES, device) * encoder.stride
    for positions in length_batches([len(clip_FC) for clip_FC in inputs], most):
        chosen = [inputs[int(i)] for i in positions]
        with hardware.autocast():
            output = encoder.encode(pad(chosen, device))
        means = [mean_pool(hidden_BFD.float(), output.frames_B) for hidden_BFD in output.layers]
        pooled_NLD[torch.from_numpy(positions)] = torch.stack(means, 1).cpu()
        for layer in layers:
            kept = output.layers[layer].to("cpu", torch.float16)
            for row, (position, count) in enumerate(zip(positions.tolist(), output.frames_B.tolist(), strict=True)):
                if position in wanted:
                    frames[layer][position] = kept[row, :count].clone()
    return Hidden(pooled_NLD=pooled_NLD, frames=frames)
