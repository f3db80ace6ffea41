"""The Conformer of `transformers.Wav2Vec2BertModel`, written for speed and held to it in `tests/parity`.

Its quirks are kept, because public checkpoints have them: a causal depthwise convolution, LayerNorm (not BatchNorm)
inside the convolution module, and rotary positions that turn the input of the query and key projections rather than
their output. Because the convolution looks to the left only, padding on the right can reach a true frame through
attention alone: one mask over keys is all that padded batches need.

Legend: `B` clips, `F` frames, `D` width, `H` heads, `E` head size, `C` input features, `P` relative positions.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from allears.models.attention import key_mask
from allears.models.base import Encoder
from allears.models.log_mel import LogMel
from allears.params.model import ConformerConfig
from allears.types import EncoderOutput, Padded


class ConformerEncoder(Encoder):
    """Log-mels and a Conformer; all weights are drawn from `seed`."""

    config: ConformerConfig

    def __init__(self, config: ConformerConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.frontend = LogMel(config.log_mel)
        self.input_norm = nn.LayerNorm(config.log_mel.width)
        self.input_projection = nn.Linear(config.log_mel.width, config.width)
        self.mask_embedding = nn.Parameter(torch.zeros(config.width))
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.blocks))
        self.dropout = nn.Dropout(config.dropout)
        generator = torch.Generator().manual_seed(seed)
        initialise(self, generator)
        nn.init.uniform_(self.mask_embedding, generator=generator)

    def features(self, audio: Padded) -> Padded:
        """Return normalised log-mels [B, F, C]."""
        return self.frontend(audio)  # type: ignore[no-any-return]

    def encode(self, features: Padded, mask_BF: Tensor | None = None) -> EncoderOutput:
        """Return every layer's output; frames where `mask_BF` is True are replaced by the learned mask embedding."""
        local_BFC = self.input_norm(features.data)
        x_BFD = self.dropout(self.input_projection(local_BFC))
        if mask_BF is not None:
            x_BFD = torch.where(mask_BF[..., None], self.mask_embedding.to(x_BFD.dtype), x_BFD)
        keys_B11F = None if features.full else key_mask(features.lengths_B, x_BFD.shape[1])
        turn = rotation(self.config, x_BFD) if self.config.positions == "rotary" else None
        layers = [x_BFD]
        for block in self.blocks:
            layers.append(block(layers[-1], keys_B11F, turn))
        return EncoderOutput(
            layers=tuple(layers), last_BFD=layers[-1], frames_B=features.lengths_B, local_BFC=local_BFC
        )

    def lowest(self, blocks: int) -> Iterator[nn.Parameter]:
        """Yield the parameters below and in the lowest `blocks` blocks; none when `blocks` is 0."""
        if blocks == 0:
            return
        for name, parameter in self.named_parameters():
            part, _, rest = name.partition(".")
            if part == "blocks" and int(rest.split(".")[0]) >= blocks:
                continue
            if part != "mask_embedding":
                yield parameter


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, LayerNorm (arXiv 2005.08100, section 2.4)."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.ffn1 = FeedForward(config)
        self.attention = SelfAttention(config)
        self.convolution = CausalConvolution(config)
        self.ffn2 = FeedForward(config)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x_BFD: Tensor, keys_B11F: Tensor | None, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        """One block; same shape."""
        x_BFD = torch.add(x_BFD, self.ffn1(x_BFD), alpha=0.5)
        x_BFD = x_BFD + self.attention(x_BFD, keys_B11F, turn)
        x_BFD = x_BFD + self.convolution(x_BFD)
        x_BFD = torch.add(x_BFD, self.ffn2(x_BFD), alpha=0.5)
        out_BFD: Tensor = self.norm(x_BFD)
        return out_BFD


class FeedForward(nn.Module):
    """LayerNorm, Linear, SiLU, Linear."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.inner = nn.Linear(config.width, config.ffn_width)
        self.outer = nn.Linear(config.ffn_width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BFD: Tensor) -> Tensor:
        """Same shape."""
        hidden = self.dropout(functional.silu(self.inner(self.norm(x_BFD))))
        out_BFD: Tensor = self.dropout(self.outer(hidden))
        return out_BFD


class SelfAttention(nn.Module):
    """Self-attention with rotary or clamped relative positions ("relative_key", arXiv 1803.02155)."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.width)
        self.query_key = nn.Linear(config.width, 2 * config.width)
        self.value = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        if config.positions == "relative_key":
            distances = config.left_frames + config.right_frames + 1
            self.distance_PE = nn.Parameter(torch.zeros(distances, config.width // config.heads))

    def forward(self, x_BFD: Tensor, keys_B11F: Tensor | None, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        """Same shape; `keys_B11F` bool: which frames may be looked at."""
        B, F, D = x_BFD.shape
        heads = (B, F, self.config.heads, D // self.config.heads)
        x_BFD = self.norm(x_BFD)
        turned_BFD = x_BFD if turn is None else rotate(x_BFD, self.config.heads, turn)
        query, key = (part.view(heads).transpose(1, 2) for part in self.query_key(turned_BFD).chunk(2, -1))
        value = self.value(x_BFD).view(heads).transpose(1, 2)
        attended = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=keys_B11F if turn is not None else self._relative_bias(query, keys_B11F),
            dropout_p=self.config.dropout if self.training else 0.0,
        )
        out_BFD: Tensor = self.dropout(self.out(attended.transpose(1, 2).reshape(B, F, D)))
        return out_BFD

    def _relative_bias(self, query_BHFE: Tensor, keys_B11F: Tensor | None) -> Tensor:
        """Query · embedding of the clamped distance, [B, H, F, F]: scored per distance, then spread over the keys."""
        B, H, F, E = query_BHFE.shape
        scores_BHFP = query_BHFE @ self.distance_PE.to(query_BHFE.dtype).T * float(E) ** -0.5
        place = torch.arange(F, device=query_BHFE.device)
        distance_FF = (place - place[:, None]).clamp(-self.config.left_frames, self.config.right_frames)
        index = (distance_FF + self.config.left_frames).expand(B, H, F, F)
        bias_BHFF: Tensor = scores_BHFP.gather(-1, index)
        return bias_BHFF if keys_B11F is None else bias_BHFF.masked_fill(~keys_B11F, float("-inf"))


class CausalConvolution(nn.Module):
    """LayerNorm, pointwise, GLU, causal depthwise, LayerNorm, SiLU, pointwise."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.width = config.width
        self.norm = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 2 * config.width, bias=False)
        self.depthwise = nn.Conv1d(config.width, config.width, config.kernel_frames, groups=config.width, bias=False)
        self.depthwise_norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BFD: Tensor) -> Tensor:
        """Same shape; frame f depends on frames f - kernel + 1 … f."""
        x_BFD = functional.glu(self.expand(self.norm(x_BFD)), dim=-1)
        x_BFD = functional.pad(x_BFD, (0, 0, self.depthwise.kernel_size[0] - 1, 0))
        x_BFD = functional.silu(self.depthwise_norm(self._depthwise(x_BFD.transpose(1, 2)).transpose(1, 2)))
        out_BFD: Tensor = self.dropout(self.project(x_BFD))
        return out_BFD

    def _depthwise(self, x_BDF: Tensor) -> Tensor:
        if x_BDF.device.type != "cpu":
            return functional.conv1d(x_BDF, self.depthwise.weight, groups=self.width)
        # On a CPU, as a picture of height 1 with channels last: what conv1d would first transpose is then in place.
        return functional.conv2d(x_BDF[:, :, None], self.depthwise.weight[:, :, None], groups=self.width)[:, :, 0]


def rotation(config: ConformerConfig, x_BFD: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [F, 1, E / 2] of the angles by which frames are turned."""
    size = config.width // config.heads
    exponent = torch.arange(0, size, 2, device=x_BFD.device, dtype=torch.float32) / size
    angle = torch.arange(x_BFD.shape[1], device=x_BFD.device)[:, None] / config.rotary_base**exponent
    return angle.cos()[:, None].to(x_BFD.dtype), angle.sin()[:, None].to(x_BFD.dtype)


def rotate(x_BFD: Tensor, heads: int, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the two halves of each head's slice of the width against each other."""
    cosine, sine = turn
    first, second = x_BFD.view(*x_BFD.shape[:2], heads, -1).chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1).flatten(-2)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Xavier-uniform linear layers, uniform ±1/√kernel depthwise kernels, zero biases, unit norms, small positions."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv1d):
            bound = (part.weight.shape[1] * part.weight.shape[2]) ** -0.5
            nn.init.uniform_(part.weight, -bound, bound, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, SelfAttention) and part.config.positions == "relative_key":
            nn.init.normal_(part.distance_PE, std=0.02, generator=generator)
