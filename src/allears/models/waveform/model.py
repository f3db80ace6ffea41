"""The encoder of wav2vec 2.0 (arXiv 2006.11477) and HuBERT (arXiv 2106.07447), held to transformers in `tests/parity`.

Strided convolutions of the waveform, a convolution that carries positions, a Transformer. Two norm styles are
published: `group` and norms after each part (base), `layer` and norms before it (large). With `group` a frame depends
on the whole clip, as the first convolution is normalised over time. transformers normalises over the padding too; here
only the clip's own frames count, so that a clip gives the same alone and in any batch.

Legend: `B` clips, `T` samples, `C` channels, `N` steps of a convolution, `F` frames, `D` width, `K` kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.models.attention import SelfAttention, key_mask
from allears.models.base import Encoder
from allears.params.model import WaveformConfig
from allears.types import EncoderOutput, Padded


class WaveformEncoder(Encoder):
    """Convolutions and a Transformer; all weights are drawn from `seed`."""

    cacheable_features = False
    config: WaveformConfig

    def __init__(self, config: WaveformConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.extractor = Extractor(config)
        self.input_norm = nn.LayerNorm(config.channels)
        self.input_projection = nn.Linear(config.channels, config.width)
        self.mask_embedding = nn.Parameter(torch.zeros(config.width))
        self.positions = ConvolutionalPositions(config)
        self.norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.dropout = nn.Dropout(config.dropout)
        _initialise(self, torch.Generator().manual_seed(seed))

    def features(self, audio: Padded) -> Padded:
        """Return the audio with zero mean and unit variance per clip; zeros beyond its end."""
        with torch.autocast(audio.data.device.type, enabled=False):
            return Padded(_normalise(audio), audio.lengths_B, audio.full, audio.host_lengths)

    def encode(self, features: Padded, mask_BF: Tensor | None = None) -> EncoderOutput:
        """Return every layer's output; frames where `mask_BF` is True are replaced by the learned mask embedding."""
        local = self.extractor(features)
        local_BFC, F = self.input_norm(local.data), local.data.shape[1]
        x_BFD = self.dropout(self.input_projection(local_BFC))
        if mask_BF is not None:
            x_BFD = torch.where(mask_BF[..., None], self.mask_embedding.to(x_BFD.dtype), x_BFD)
        keys_B11F = None if local.full else key_mask(local.lengths_B, F)
        if keys_B11F is not None:  # the positions look to both sides
            x_BFD = x_BFD.masked_fill(~keys_B11F[:, 0, 0, :, None], 0.0)
        x_BFD = x_BFD + self.positions(x_BFD)
        layers = [self.dropout(x_BFD if self.config.norm_first else self.norm(x_BFD))]
        for block in self.blocks:
            layers.append(block(layers[-1], keys_B11F))
        last_BFD = self.norm(layers[-1]) if self.config.norm_first else layers[-1]
        return EncoderOutput(layers=tuple(layers), last_BFD=last_BFD, frames_B=local.lengths_B, local_BFC=local_BFC)

    def lowest(self, blocks: int) -> Iterator[nn.Parameter]:
        """Yield the parameters below and in the lowest `blocks` blocks; none when `blocks` is 0."""
        if blocks == 0:
            return
        for name, parameter in self.named_parameters():
            part, _, rest = name.partition(".")
            if part == "blocks":
                if int(rest.split(".")[0]) < blocks:
                    yield parameter
            elif part != "mask_embedding" and not (part == "norm" and self.config.norm_first):
                yield parameter


class Extractor(nn.Module):
    """Strided convolutions without padding: a frame's features depend on its own samples (section 2 of wav2vec 2.0)."""

    def __init__(self, config: WaveformConfig) -> None:
        super().__init__()
        self.config = config
        C, by_layer = config.channels, config.extractor_norm == "layer"
        self.convolutions = nn.ModuleList(
            nn.Conv1d(C if place else 1, C, kernel, stride, bias=config.convolution_bias)
            for place, (kernel, stride) in enumerate(zip(config.kernels, config.strides, strict=True))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(C) for _ in range(len(config.kernels) if by_layer else 1))

    def forward(self, features: Padded) -> Padded:
        """Return features [B, F, C] of audio [B, T]; at least one frame, which is padding in a clip without any."""
        audio_BT, lengths_B = features.data, features.lengths_B
        if audio_BT.shape[1] < self.config.receptive_samples:
            audio_BT = functional.pad(audio_BT, (0, self.config.receptive_samples - audio_BT.shape[1]))
        x_BCN = audio_BT[:, None]
        for place, convolution in enumerate(self.convolutions):
            x_BCN = convolution(x_BCN)
            kernel, stride = self.config.kernels[place], self.config.strides[place]
            lengths_B = (torch.div(lengths_B - kernel, stride, rounding_mode="floor") + 1).clamp(min=0)
            if self.config.extractor_norm == "layer":
                x_BCN = self.norms[place](x_BCN.transpose(1, 2)).transpose(1, 2)
            elif place == 0:
                norm = cast("nn.LayerNorm", self.norms[0])
                x_BCN = normalise_over_time(x_BCN, None if features.full else lengths_B, norm)
            x_BCN = functional.gelu(x_BCN)
        return Padded(x_BCN.transpose(1, 2), lengths_B, features.full)


class ConvolutionalPositions(nn.Module):
    """A grouped convolution over frames with weight normalisation per place of the kernel, then GELU."""

    def __init__(self, config: WaveformConfig) -> None:
        super().__init__()
        self.groups, self.kernel = config.position_groups, config.position_kernel
        self.gain_11K = nn.Parameter(torch.ones(1, 1, self.kernel))
        self.direction_DCK = nn.Parameter(torch.zeros(config.width, config.width // self.groups, self.kernel))
        self.bias_D = nn.Parameter(torch.zeros(config.width))

    def forward(self, x_BFD: Tensor) -> Tensor:
        """Same shape."""
        # As torch's parametrization computes it; public operators take twice as long for the gradient.
        weight_DCK = torch._weight_norm(self.direction_DCK, self.gain_11K, 2)  # noqa: SLF001
        out_BDF = functional.conv1d(
            x_BFD.transpose(1, 2), weight_DCK, self.bias_D, padding=self.kernel // 2, groups=self.groups
        )
        return functional.gelu(out_BDF[..., : x_BFD.shape[1]]).transpose(1, 2)


class Block(nn.Module):
    """Self-attention and a feed-forward, each normalised after it is added, or (norm_first) before it is computed."""

    def __init__(self, config: WaveformConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = SelfAttention(config.width, config.heads, config.dropout)
        self.attention_norm = nn.LayerNorm(config.width)
        self.inner = nn.Linear(config.width, config.ffn_width)
        self.outer = nn.Linear(config.ffn_width, config.width)
        self.ffn_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BFD: Tensor, keys_B11F: Tensor | None) -> Tensor:
        """One block; same shape."""
        if self.norm_first:
            x_BFD = x_BFD + self.attention(self.attention_norm(x_BFD), keys_B11F)
            return x_BFD + self._feed_forward(self.ffn_norm(x_BFD))
        x_BFD = self.attention_norm(x_BFD + self.attention(x_BFD, keys_B11F))
        out_BFD: Tensor = self.ffn_norm(x_BFD + self._feed_forward(x_BFD))
        return out_BFD

    def _feed_forward(self, x_BFD: Tensor) -> Tensor:
        hidden = self.dropout(functional.gelu(self.inner(x_BFD)))
        out_BFD: Tensor = self.dropout(self.outer(hidden))
        return out_BFD


def normalise_over_time(x_BCN: Tensor, lengths_B: Tensor | None, norm: nn.LayerNorm) -> Tensor:
    """Return each channel normalised over the clip's own steps (a group norm with as many groups as channels).

    `norm` holds scale and shift per channel; `lengths_B` None: no clip is shorter than N.
    """
    if lengths_B is None:
        return functional.group_norm(x_BCN, x_BCN.shape[1], norm.weight, norm.bias, norm.eps)
    with torch.autocast(x_BCN.device.type, enabled=False):
        inside_B1N = (torch.arange(x_BCN.shape[2], device=x_BCN.device) < lengths_B[:, None])[:, None]
        count_B11 = lengths_B.clamp(min=1)[:, None, None]
        known_BCN = torch.where(inside_B1N, x_BCN.float(), 0.0)
        mean_BC1 = known_BCN.sum(-1, keepdim=True) / count_B11
        centred_BCN = torch.where(inside_B1N, x_BCN.float() - mean_BC1, 0.0)
        variance_BC1 = centred_BCN.square().sum(-1, keepdim=True) / count_B11
        scale_BC1 = norm.weight[:, None] * (variance_BC1 + norm.eps).rsqrt()
        return (centred_BCN * scale_BC1 + norm.bias[:, None]).to(x_BCN.dtype)


def _normalise(audio: Padded) -> Tensor:
    """Zero mean and unit variance over each clip's own samples [B, T] (as `Wav2Vec2FeatureExtractor`)."""
    inside_BT = torch.arange(audio.data.shape[1], device=audio.data.device) < audio.lengths_B[:, None]
    count_B1 = audio.lengths_B.clamp(min=1)[:, None]
    mean_B1 = torch.where(inside_BT, audio.data, 0.0).sum(-1, keepdim=True) / count_B1
    centred_BT = torch.where(inside_BT, audio.data - mean_B1, 0.0)
    return centred_BT * (centred_BT.square().sum(-1, keepdim=True) / count_B1 + 1e-7).rsqrt()


@torch.no_grad()
def _initialise(encoder: WaveformEncoder, generator: torch.Generator) -> None:
    """Kaiming-normal convolutions, Xavier-uniform linear layers, positions as in fairseq, zero biases, unit norms."""
    for part in encoder.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv1d):
            nn.init.kaiming_normal_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, ConvolutionalPositions):
            std = 2 * (part.kernel * part.direction_DCK.shape[0]) ** -0.5
            nn.init.normal_(part.direction_DCK, std=std, generator=generator)
            part.gain_11K.copy_(part.direction_DCK.norm(dim=(0, 1), keepdim=True))
    nn.init.uniform_(encoder.mask_embedding, generator=generator)
