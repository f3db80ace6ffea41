"""Measures of one decoded clip: peak, clipping, offset, digital silence; level, silence, noise, bandwidth.

The first four are facts about the samples (`SampleMeasures`), the others describe what is heard (`SoundMeasures`) and
leave out the offset and what lies under 50 Hz (`audio.highpass`).

Legend: `T` samples, `F` frames, `K` frequency bins. Audio is float32 [T] in [-1, 1] at its native rate. One pass of
half-overlapping Hann frames (32 ms, hop 16 ms) serves the spectral measures and the fingerprint. All of it runs in
blocks, so that beside its samples a clip of an hour needs as little memory as one of a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from allears.audio.blocks import BLOCK_SAMPLES, in_blocks
from allears.audio.highpass import DIGITAL_SILENCE, Highpassed
from allears.errors import AudioError

FRAME_S = 0.032
BLOCK_FRAMES = 2048
FLOOR = 1e-12  # power: -120 dBFS
ROOM_DBFS = -68.0  # softer frames are a room, however soft the voice: the pauses of quiet recordings have -70 to -75
MOST = 1e18  # amplitudes from here on are no audio: their squares and products are no numbers
STEADY_DB = 6.0  # from the softest quarter to the loudest tenth: steady noise has under 1
RUMBLE_LIMIT_DB = 120.0
FACTORS = 16  # magnitudes multiplied before a logarithm: from 2^-16 to 1e19 their product is a float64

Floats = NDArray[np.float32]

# Kim & Stern 2008, "Robust signal-to-noise ratio estimation based on waveform amplitude distribution analysis":
# G = ln E|x| - E ln|x| of gamma-distributed speech (shape 0.4) in Gaussian noise, at -20, -19, … 100 dB, integrated
# numerically from that model (tests/reference/wada.py does it again); the published table is within 0.2 dB of it.
WADA_LOWEST_DB = -20
WADA_G = (
    0.40943, 0.40946, 0.4095, 0.40956, 0.40964, 0.40978, 0.40997, 0.41026, 0.41069, 0.41129, 0.41215, 0.41334, 0.41497,
    0.41716, 0.42006, 0.42384, 0.42865, 0.43469, 0.44213, 0.45113, 0.46183, 0.47437, 0.48879, 0.50515, 0.52342, 0.54355,
    0.56543, 0.58893, 0.61388, 0.64008, 0.66734, 0.69545, 0.72419, 0.75336, 0.78278, 0.81227, 0.84167, 0.87083, 0.89965,
    0.92801, 0.95582, 0.98302, 1.00954, 1.03534, 1.06038, 1.08465, 1.10813, 1.13081, 1.15269, 1.17377, 1.19406, 1.21358,
    1.23233, 1.25034, 1.26763, 1.2842, 1.3001, 1.31533, 1.32992, 1.34389, 1.35726, 1.37006, 1.38231, 1.39402, 1.40523,
    1.41594, 1.42619, 1.43598, 1.44534, 1.45429, 1.46284, 1.47101, 1.47882, 1.48628, 1.49341, 1.50022, 1.50673, 1.51294,
    1.51888, 1.52455, 1.52997, 1.53515, 1.54009, 1.54481, 1.54932, 1.55363, 1.55774, 1.56167, 1.56542, 1.56901, 1.57243,
    1.5757, 1.57882, 1.5818, 1.58465, 1.58737, 1.58997, 1.59245, 1.59482, 1.59708, 1.59924, 1.6013, 1.60327, 1.60515,
    1.60695, 1.60867, 1.61031, 1.61187, 1.61337, 1.6148, 1.61616, 1.61746, 1.6187, 1.61989, 1.62103, 1.62211, 1.62314,
    1.62413, 1.62507, 1.62598, 1.62684,
)  # fmt: skip


# Estimate for speech without noise whose amplitudes are gamma-distributed with the shape 1/2 (Paez & Glisson 1972), not
# 0.4: ln 0.5 - digamma(0.5) = 1.2704. From here on noise cannot be told from the shape of the speech's own amplitudes.
CEILING_DB = 34.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """Where the measures cut: part of the identity of every measured clip."""

    clip_level: float
    silence_dbfs: float
    silence_below_loud_db: float
    bandwidth_drop_db: float
    speech_probability: float
    speech_stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMeasures:
    """Facts about the samples of one clip. `dc_offset`: mean of those that are no digital silence."""

    decoded_duration_s: float
    peak: float
    clipped_share: float
    dc_offset: float
    zero_share: float

    def to_json(self) -> dict[str, float]:
        """Name → value."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundMeasures:
    """Measures of one clip without its offset and what lies under 50 Hz; None where nothing is left (digital silence).

    `rumble_db`: power of what was left out, but for the offset, over the power of the rest, within ±RUMBLE_LIMIT_DB.
    """

    rms_dbfs: float | None
    rumble_db: float | None
    silence_share: float
    snr_db: float | None
    bandwidth_hz: float | None

    def to_json(self) -> dict[str, float | None]:
        """Name → value."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Spectrum:
    """`power_FK`: power of each frame and bin, a sine of amplitude 1 reads about 0 dB at its bin; `hop_s` seconds."""

    power_FK: Floats
    bin_hz: float
    hop_s: float


def spectrum_blocks(sound: Highpassed) -> Iterator[Spectrum]:
    """The power spectra of all frames, at most BLOCK_FRAMES at a time; a clip shorter than a frame is padded."""
    size = frame_samples(sound.rate_hz)
    hop = size // 2
    frames = 1 + max(len(sound) - size, 0) // hop
    most = min(BLOCK_FRAMES, max(BLOCK_SAMPLES // size, 1))  # fewer at rates over 16 kHz
    for first in range(0, frames, most):
        last = min(first + most, frames) - 1
        yield spectrum(sound.part(first * hop, last * hop + size), sound.rate_hz)


def spectrum(audio_T: Floats, rate_hz: int) -> Spectrum:
    """The power spectra of all frames of `audio_T`, at once."""
    size = frame_samples(rate_hz)
    hop = size // 2
    if len(audio_T) < size:
        audio_T = np.pad(audio_T, (0, size - len(audio_T)))
    bins_FK = scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(audio_T, size)[::hop] * _hann(size))
    return Spectrum(bins_FK.real**2 + bins_FK.imag**2, rate_hz / size, hop / rate_hz)


def frame_samples(rate_hz: int) -> int:
    """Samples of a frame of FRAME_S: even, so that the hop is half of it."""
    return max(2, 2 * round(rate_hz * FRAME_S / 2))


def measure_samples(audio_T: Floats, rate_hz: int, clip_level: float) -> SampleMeasures:
    """Facts about the samples [T].

    Raises AudioError `empty` for no samples and `not_finite` for NaN, infinity or what is next to it.
    """
    if len(audio_T) == 0:
        raise AudioError("empty", "it decodes to no audio at all; the file is probably cut off or holds no sound")
    peak, total, heard, clipped = 0.0, 0.0, 0, 0
    for block_T in in_blocks(audio_T):
        magnitude_T = np.abs(block_T)
        loudest = magnitude_T.max()
        if not np.isfinite(loudest):
            raise AudioError("not_finite", "it holds samples that are not numbers; export it as 16-bit PCM or FLAC")
        if loudest >= MOST:
            raise AudioError(
                "not_finite", f"it holds samples up to {loudest:.0e}, where 1 is full scale; export it again"
            )
        peak = max(peak, float(loudest))
        total += float(np.sum(block_T, dtype=np.float64))
        heard += int(np.count_nonzero(magnitude_T >= DIGITAL_SILENCE))
        clipped += int(np.count_nonzero(magnitude_T >= clip_level)) if loudest >= clip_level else 0
    return SampleMeasures(
        decoded_duration_s=len(audio_T) / rate_hz,
        peak=peak,
        clipped_share=clipped / len(audio_T),
        dc_offset=total / heard if heard else 0.0,
        zero_share=1 - heard / len(audio_T),
    )


def measure_sound(
    sound: Highpassed, spec: MeasureSpec, power_F: NDArray[np.float64], mean_power_K: NDArray[np.float64],
    zero_share: float = 0.0,
) -> SoundMeasures:  # fmt: skip
    """Measures of what is heard. `power_F` are its `frame_powers`, `mean_power_K` is the mean over frames of
    `spectrum_blocks`; `zero_share` of the samples are digital silence, where no rumble is.
    """
    size = frame_samples(sound.rate_hz)
    last = len(sound) - (len(power_F) - 1) * size
    power = (float(power_F[:-1].sum()) * size + float(power_F[-1]) * last) / len(sound)
    sounding_power = power / (1 - zero_share) if zero_share < 1 else 0.0
    return SoundMeasures(
        rms_dbfs=10 * float(np.log10(power)) if power > FLOOR else None,
        rumble_db=_rumble_db(sound.rumble_power, sounding_power) if power > FLOOR else None,
        silence_share=silence_share(power_F, spec.silence_dbfs, spec.silence_below_loud_db),
        snr_db=wada_snr_db(sound),
        bandwidth_hz=bandwidth_hz(mean_power_K, sound.rate_hz / size, spec.bandwidth_drop_db),
    )


def frame_powers(sound: Highpassed) -> NDArray[np.float64]:
    """Mean square [F] of each frame of 32 ms, without overlap; the rest at the end counts as one."""
    size = frame_samples(sound.rate_hz)
    return np.concatenate([_frame_powers(block_T, size) for block_T in sound.blocks(size)])


def loud_power(power_F: NDArray[np.float64]) -> float:
    """Power that the loudest tenth of `frame_powers` reaches, without digital silence."""
    sounding_F = power_F[power_F >= DIGITAL_SILENCE**2]
    return _lower_quantile(sounding_F if len(sounding_F) else power_F, 0.9)


def _frame_powers(audio_T: Floats, size: int) -> NDArray[np.float64]:
    whole = len(audio_T) // size
    frames_FT = audio_T[: whole * size].reshape(whole, size)
    power_F = np.einsum("ft,ft->f", frames_FT, frames_FT).astype(np.float64) / size
    rest_T = audio_T[whole * size :]
    return np.append(power_F, float(rest_T @ rest_T) / len(rest_T)) if len(rest_T) else power_F


def _rumble_db(rumble_power: float, power: float) -> float:
    decibels = 10 * np.log10(max(rumble_power, FLOOR * FLOOR) / power)
    return float(np.clip(decibels, -RUMBLE_LIMIT_DB, RUMBLE_LIMIT_DB))


def silence_share(power_F: NDArray[np.float64], silence_dbfs: float, below_loud_db: float) -> float:
    """Share of `frame_powers` that are silent.

    Those are under `silence_dbfs`, and `below_loud_db` under the clip's loudest tenth or under ROOM_DBFS: a quiet voice
    is not silence, the room around it and a room with a click in it are. Where even the loudest tenth is under
    `silence_dbfs` and within STEADY_DB of the softest quarter, nobody speaks: all that is under the level is silent.
    Digital silence is, but does not count for the loudest.
    """
    soft, loud = _lower_quantile(power_F, 0.25), loud_power(power_F)
    cut = 10 ** (silence_dbfs / 10)
    if loud >= cut or loud > soft * 10 ** (STEADY_DB / 10):
        cut = min(cut, max(loud * 10 ** (-below_loud_db / 10), 10 ** (ROOM_DBFS / 10)))
    return float(np.mean(power_F < cut))


def _lower_quantile(values_F: NDArray[np.float64], share: float) -> float:
    """As `np.quantile(method="lower")`, which takes ten times as long for a short clip."""
    place = int(share * (len(values_F) - 1))
    return float(np.partition(values_F, place)[place])


def wada_snr_db(sound: Highpassed) -> float | None:
    """Waveform amplitude distribution analysis: an estimate for speech, in [-20, CEILING_DB] dB; at the ceiling the
    ratio is that or higher.

    Digital silence does not count: it would read as 100 dB. Of other samples that a 16-bit file stores as zero no more
    is known than that: they count as the mean logarithm of amplitudes between 0 and half a step, so that a quiet voice
    reads as a loud one, and an Opus copy as its source. None when nothing is left.
    """
    count, total, logarithms = 0, 0.0, 0.0
    for block_T in sound.blocks(FACTORS):
        magnitude_T = np.abs(block_T)
        silent_T = magnitude_T == 0
        silent = int(np.count_nonzero(silent_T))
        np.copyto(magnitude_T, np.float32(DIGITAL_SILENCE / np.e), where=magnitude_T < DIGITAL_SILENCE)
        if silent:
            magnitude_T[silent_T] = 1  # whose logarithm is 0
        counted_T = magnitude_T.astype(np.float64)
        count += len(counted_T) - silent
        total += float(counted_T.sum()) - silent
        logarithms += _sum_of_logarithms(counted_T)
    if not count:
        return None
    statistic = float(np.log(total / count)) - logarithms / count
    decibels = np.arange(WADA_LOWEST_DB, WADA_LOWEST_DB + len(WADA_G))
    return min(float(np.interp(statistic, WADA_G, decibels)), CEILING_DB)


def _sum_of_logarithms(values_T: NDArray[np.float64]) -> float:
    """Of products of FACTORS values each: a third of the time."""
    whole = len(values_T) // FACTORS
    products = np.multiply.reduce(values_T[: whole * FACTORS].reshape(FACTORS, whole), axis=0)
    return float(np.log(products).sum() + np.log(values_T[whole * FACTORS :]).sum())


def bandwidth_hz(mean_power_K: NDArray[np.float64], bin_hz: float, drop_db: float) -> float | None:
    """The highest frequency whose mean power is within `drop_db` of the strongest one. None for silence.

    The bins under 60 Hz (offset, hum) do not count as the strongest, or they would hide a quiet voice.
    """
    lowest = min(int(60 / bin_hz) + 1, len(mean_power_K) - 1)
    peak = float(mean_power_K[lowest:].max())
    if peak <= FLOOR:
        return None
    above = np.flatnonzero(mean_power_K >= peak * 10 ** (-drop_db / 10))
    return float(above[-1] * bin_hz)


@lru_cache(maxsize=32)
def _hann(size: int) -> Floats:
    """A periodic Hann window, scaled so that a sine of amplitude 1 has the power 1 in its bin."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    scaled: Floats = (2 * window / window.sum()).astype(np.float32)
    return scaled
