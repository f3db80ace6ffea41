"""Sizes of the encoders: one configuration class per family, `AnyEncoderConfig` lists them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from allears.frames import encoder_frames, frame_samples
from allears.params.base import Params


class EncoderConfig(Params):
    """What the configuration of every family has. `family` names it; the fields say how to build it."""

    family: str
    width: int
    blocks: int

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the audio that the encoder takes."""
        raise NotImplementedError

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        raise NotImplementedError

    def frames(self, samples: int) -> int:
        """Return the number of frames of a clip of `samples` samples."""
        raise NotImplementedError

    @property
    def feature_width(self) -> int:
        """Values per frame of `Encoder.features`; 0 where these are samples."""
        return 0

    @property
    def local_width(self) -> int:
        """Values per frame of `EncoderOutput.local_BFC`."""
        return self.feature_width

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop_samples


class LogMelConfig(Params):
    """Kaldi-like log-mels, 25 ms windows every 10 ms, normalised per clip and mel bin, `stack` of them in a frame."""

    sample_rate_hz: Literal[16000] = 16000
    mels: int = Field(default=80, ge=20, le=128, description="mel bins between 20 Hz and 8 kHz")
    stack: Literal[2, 4] = Field(default=4, description="10 ms windows in one encoder frame: 2 is 50 Hz, 4 is 25 Hz")

    @property
    def width(self) -> int:
        """Values in a stacked frame."""
        return self.mels * self.stack


class ConformerConfig(EncoderConfig):
    """A log-mel Conformer that `transformers.Wav2Vec2BertModel` can load; names in brackets are that library's."""

    family: Literal["conformer"] = "conformer"
    log_mel: LogMelConfig = LogMelConfig()
    width: int = Field(default=144, ge=8, description="model width [hidden_size]")
    blocks: int = Field(default=6, ge=1, description="[num_hidden_layers]")
    heads: int = Field(default=4, ge=1, description="[num_attention_heads]")
    ffn_width: int = Field(default=576, ge=8, description="inner width of both feed-forwards [intermediate_size]")
    kernel_frames: int = Field(
        default=15, ge=1, description="causal depthwise convolution, odd [conv_depthwise_kernel_size]"
    )
    positions: Literal["rotary", "relative_key"] = Field(default="rotary", description="[position_embeddings_type]")
    rotary_base: int = Field(default=10000, ge=2, description="[rotary_embedding_base]")
    left_frames: int = Field(default=64, ge=1, description="relative_key: distance seen to the left, clamped beyond")
    right_frames: int = Field(default=8, ge=1, description="relative_key: distance seen to the right, clamped beyond")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="one rate for all dropouts of the encoder")

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the audio that the encoder takes."""
        return self.log_mel.sample_rate_hz

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return frame_samples(self.log_mel.stack, self.sample_rate_hz)

    def frames(self, samples: int) -> int:
        """Return the number of frames of a clip of `samples` samples."""
        return encoder_frames(samples, self.log_mel.stack, self.sample_rate_hz)

    @property
    def feature_width(self) -> int:
        """Values in a stacked frame."""
        return self.log_mel.width

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(
                f"width {self.width} over {self.heads} heads must give an even head size; "
                f"the nearest width that does is {max(1, round(self.width / (2 * self.heads))) * 2 * self.heads}"
            )
        if self.kernel_frames % 2 == 0:
            raise ValueError(f"kernel_frames must be odd, found {self.kernel_frames}; use {self.kernel_frames + 1}")
        return self


class WaveformConfig(EncoderConfig):
    """A wav2vec 2.0 or HuBERT encoder; names in brackets are those of `transformers.Wav2Vec2Config`.

    Published: base has `extractor_norm: group`, `norm_first: false` and no `convolution_bias`; large (LV-60, XLS-R,
    HuBERT-large) `layer`, `true` and, but for HuBERT, the bias.
    """

    family: Literal["waveform"] = "waveform"
    channels: int = Field(default=64, ge=1, description="of each convolution of the waveform [conv_dim]")
    kernels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(10, 3, 3, 3, 3, 2, 2), min_length=1, description="[conv_kernel]"
    )
    strides: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(5, 2, 2, 2, 2, 2, 2), min_length=1, description="[conv_stride]"
    )
    extractor_norm: Literal["group", "layer"] = Field(
        default="group",
        description="group: the first convolution over time; layer: each one over channels [feat_extract_norm]",
    )
    convolution_bias: bool = Field(default=False, description="[conv_bias]")
    width: int = Field(default=144, ge=8, description="model width [hidden_size]")
    blocks: int = Field(default=4, ge=1, description="[num_hidden_layers]")
    heads: int = Field(default=4, ge=1, description="[num_attention_heads]")
    ffn_width: int = Field(default=576, ge=8, description="inner width of the feed-forward [intermediate_size]")
    norm_first: bool = Field(default=True, description="norms come before each part [do_stable_layer_norm]")
    position_kernel: int = Field(default=64, ge=2, description="frames [num_conv_pos_embeddings]")
    position_groups: int = Field(default=16, ge=1, description="[num_conv_pos_embedding_groups]")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="one rate for all dropouts of the encoder")
    published_as: Literal["wav2vec2", "hubert"] = Field(
        default="wav2vec2", description="class that an export has in transformers: both compute the same"
    )

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the audio that the encoder takes."""
        return 16000

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def receptive_samples(self) -> int:
        """Samples that one frame of the convolutions depends on."""
        samples = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    @property
    def local_width(self) -> int:
        """Values per frame of `EncoderOutput.local_BFC`."""
        return self.channels

    def frames(self, samples: int) -> int:
        """Return the number of frames of a clip of `samples` samples."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.kernels) != len(self.strides):
            raise ValueError(
                f"kernels {list(self.kernels)} and strides {list(self.strides)} must have one value per convolution"
            )
        for name, parts in (("heads", self.heads), ("position_groups", self.position_groups)):
            if self.width % parts:
                nearest = max(1, round(self.width / parts)) * parts
                raise ValueError(f"width {self.width} must be a multiple of {name} ({parts}), such as {nearest}")
        return self


AnyEncoderConfig = Annotated[ConformerConfig | WaveformConfig, Field(discriminator="family")]
