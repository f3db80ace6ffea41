"""Log-mel front end, part of the model, so that what is exported takes raw audio.

Legend: `B` clips, `T` samples, `N` 10 ms windows, `M` mels, `F` stacked frames, `C` = stack × mels features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from allears.audio.features import LOG_FLOOR, PREEMPHASIS, mel_filters, povey_window
from allears.params.model import LogMelConfig
from allears.types import Padded

WINDOW = 400  # samples: 25 ms at 16 kHz
HOP = 160
FFT = 512
PCM_SCALE = 2.0**15  # Kaldi computes on 16-bit integers


class LogMel(nn.Module):
    """Log-mels as `transformers.SeamlessM4TFeatureExtractor(stride=stack)` makes them, for a padded batch at once.

    Normalised per clip and mel bin over the clip's own windows, so that a clip gives the same features alone and in
    any batch. Lengths are the extractor's with `pad_to_multiple_of=stack`: a last frame that has two of its
    windows is kept and completed with zeros. float32 is for training; float64 (`dtype`) is the reference path.
    """

    window_W: Tensor
    filters_RM: Tensor

    def __init__(self, config: LogMelConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        filters = mel_filters(config.mels, FFT, config.sample_rate_hz)
        self.register_buffer("window_W", torch.from_numpy(povey_window(WINDOW)).to(dtype), persistent=False)
        self.register_buffer("filters_RM", torch.from_numpy(filters).to(dtype), persistent=False)

    def windows(self, samples_B: Tensor) -> Tensor:
        """Whole 10 ms windows in clips of so many samples, int64 [B]."""
        return (torch.div(samples_B - WINDOW, HOP, rounding_mode="floor") + 1).clamp(min=0)

    def frames(self, samples_B: Tensor) -> Tensor:
        """Stacked frames of clips of so many samples, int64 [B]; the same as `frames.encoder_frames`."""
        stack = self.config.stack
        return torch.div(self.windows(samples_B) + stack - 2, stack, rounding_mode="floor")

    @torch.no_grad()
    def forward(self, audio: Padded) -> Padded:
        """Return features [B, F, C], zero beyond each clip's end, of audio [B, T].

        F is the largest number of frames that fits T, at least 1: a clip shorter than a window has no true frame.
        """
        with torch.autocast(audio.data.device.type, enabled=False):
            logmel_BNM = self._log_mel(audio.data.to(self.window_W.dtype))
            normal_BNM = _normalise(logmel_BNM, self.windows(audio.lengths_B))
        B, N, M = normal_BNM.shape
        stack = self.config.stack
        F = max(1, (N + stack - 2) // stack)
        missing = F * stack - N
        stacked = nn.functional.pad(normal_BNM, (0, 0, 0, missing)) if missing else normal_BNM
        return Padded(stacked.reshape(B, F, stack * M), self.frames(audio.lengths_B), audio.full)

    def _log_mel(self, audio_BT: Tensor) -> Tensor:
        if audio_BT.shape[1] < WINDOW:
            audio_BT = nn.functional.pad(audio_BT, (0, WINDOW - audio_BT.shape[1]))
        frames = (audio_BT * PCM_SCALE).unfold(1, WINDOW, HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        # Kaldi's pre-emphasis: the first sample is its own predecessor.
        frames = torch.cat((frames[..., :1] * (1 - PREEMPHASIS), frames[..., 1:] - PREEMPHASIS * frames[..., :-1]), -1)
        spectrum = torch.fft.rfft(frames * self.window_W, n=FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        mels_BNM: Tensor = power @ self.filters_RM
        return mels_BNM.clamp(min=LOG_FLOOR).log()


def _normalise(logmel_BNM: Tensor, windows_B: Tensor) -> Tensor:
    """Zero mean and unit variance (n - 1) over each clip's own windows; zeros beyond them."""
    inside = torch.arange(logmel_BNM.shape[1], device=windows_B.device) < windows_B[:, None]
    inside_BN1 = inside[..., None]
    count_B11 = windows_B.to(logmel_BNM.dtype)[:, None, None]
    x = logmel_BNM.masked_fill(~inside_BN1, 0.0)
    mean = x.sum(1, keepdim=True) / count_B11.clamp(min=1)
    x = (x - mean).masked_fill(~inside_BN1, 0.0)
    variance = x.square().sum(1, keepdim=True) / (count_B11 - 1).clamp(min=1)
    return x * (variance + 1e-7).rsqrt()
