"""Features in numpy: the Kaldi mel filters that the model's front end uses too, and MFCCs for the unit model.

Legend: `T` samples, `N` 10 ms windows, `R` FFT bins, `M` mels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

PREEMPHASIS = 0.97
LOG_FLOOR = 1.1920928955078125e-07  # float32 epsilon, Kaldi's floor under the log
LIFTER = 22.0  # Kaldi's cepstral lifter
CEPSTRA = 13
MFCC_MELS = 23


def mel_filters(mels: int, fft: int, rate_hz: int, low_hz: float = 20.0) -> NDArray[np.float64]:
    """Kaldi's triangular filters [fft // 2 + 1, mels]: triangles in mel space, from `low_hz` to half the rate."""
    edges = np.linspace(mel_of_hertz(low_hz), mel_of_hertz(rate_hz / 2), mels + 2)
    bins = mel_of_hertz(np.arange(fft // 2 + 1) * rate_hz / fft)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def mel_of_hertz(hertz: ArrayLike) -> NDArray[np.float64]:
    """The mel scale as Kaldi has it."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0))


def hertz_of_mel(mel: ArrayLike) -> NDArray[np.float64]:
    """The inverse of `mel_of_hertz`."""
    return np.asarray(700.0 * np.expm1(np.asarray(mel, np.float64) / 1127.0))


def povey_window(samples: int) -> NDArray[np.float64]:
    """Kaldi's default window: Hann to the power of .85."""
    return np.asarray(np.hanning(samples) ** 0.85, dtype=np.float64)


def mfcc(audio_T: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """13 MFCCs, their deltas and double deltas, [N, 39] at 10 ms: HuBERT's first targets.

    As `torchaudio.compliance.kaldi.mfcc(use_energy=False)` on samples in [-1, 1] followed by `compute_deltas` (five
    windows wide) twice, which is what fairseq's `dump_mfcc_feature.py` calls. Empty when shorter than 25 ms.
    """
    window, hop = rate_hz * 25 // 1000, rate_hz // 100
    if len(audio_T) < window:
        return np.zeros((0, 3 * CEPSTRA), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(audio_T.astype(np.float64), window)[::hop]
    frames = frames - frames.mean(1, keepdims=True)
    frames -= PREEMPHASIS * np.concatenate((frames[:, :1], frames[:, :-1]), 1)
    shape, filters, lifter = _mfcc_constants(rate_hz, window)
    power = np.abs(scipy.fft.rfft(frames * shape, n=_fft_size(window), axis=1)) ** 2
    log_mel = np.log(np.maximum(power @ filters, LOG_FLOOR))
    cepstra = scipy.fft.dct(log_mel, type=2, norm="ortho", axis=1)[:, :CEPSTRA] * lifter
    first = deltas(cepstra)
    return np.concatenate((cepstra, first, deltas(first)), 1).astype(np.float32)


def deltas(values_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The slope of a line through five neighbours, the ends repeated; same shape as the input."""
    padded = np.pad(values_NC, ((2, 2), (0, 0)), mode="edge")
    count = len(values_NC)
    near = padded[3 : 3 + count] - padded[1 : 1 + count]
    far = padded[4 : 4 + count] - padded[:count]
    return (near + 2.0 * far) / 10.0


def stack_mean(values_NC: NDArray[np.float32], stack: int) -> NDArray[np.float32]:
    """The mean of every `stack` 10 ms windows, [F, C], one row for each encoder frame of the same audio.

    As in the encoder's front end a last group counts when it has two windows (its mean is over what there is).
    """
    frames = (len(values_NC) + stack - 2) // stack
    if frames == 0:
        return np.zeros((0, values_NC.shape[1]), np.float32)
    kept = values_NC[: frames * stack]
    starts = np.arange(frames) * stack
    sums = np.add.reduceat(kept.astype(np.float64), starts, axis=0)
    sizes = np.minimum(starts + stack, len(kept)) - starts
    return (sums / sizes[:, None]).astype(np.float32)


def _fft_size(window: int) -> int:
    return 1 << (window - 1).bit_length()


@lru_cache(maxsize=4)
def _mfcc_constants(rate_hz: int, window: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    lifter = 1.0 + 0.5 * LIFTER * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    return povey_window(window), mel_filters(MFCC_MELS, _fft_size(window), rate_hz), lifter
