"""Where there is speech: its share of a clip, and its spans in a recording of any length.

Silero VAD decides, every 32 ms at 16 kHz. WebRTC's detector is faster, but takes rain, engines and the sea for speech.
Legend: `T` samples, `N` chunks of 32 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import soxr
from numpy.typing import NDArray

from allears.audio import silero
from allears.audio.highpass import DIGITAL_SILENCE, Highpassed
from allears.frames import to_samples, to_seconds

MIN_S = 0.25  # a shorter clip holds too little to tell
PAUSE = 0.2  # a chunk whose probability is under this holds no speech
PAUSE_SHARE = 0.75  # quantile of the power of pauses; not their mean, so that a missed word does not count as noise
NEAR_CHUNKS = 4  # so near to speech is no pause: a word is often heard as one only after its loud beginning
LEAST_CHUNKS = 3  # of speech, and of none: fewer give no level
HEARD_DBFS = -20.0  # of the loudest tenth: about the level of close speech
MOST_GAIN_DB = 40.0
SNR_DB = (-20.0, 100.0)
BLOCK_S = 30.0
STRETCH_CHUNKS = 8
TOGETHER_CHUNKS = 64  # at least, but at the end: each call takes as long as some ten of them
WHOLE_S = 2.0  # a clip up to this is heard whole
HYSTERESIS = 0.15  # speech goes on while the probability is no lower than this under where it begins (Silero's default)
DETECTOR = f"silero-vad {version('silero-vad')}"
CHUNK_S = to_seconds(silero.CHUNK, silero.RATE_HZ)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSpec:
    """What counts as a span of speech; the defaults cut at the pauses between sentences."""

    probability: float = 0.5
    """From where on a chunk is speech."""
    min_speech_s: float = 0.25
    """Shorter spans are dropped."""
    min_gap_s: float = 0.5
    """Shorter pauses are part of the span."""
    margin_s: float = 0.1
    """Kept before and after the speech; at most half of min_gap_s, so that spans never touch."""

    def __post_init__(self) -> None:
        if not 0 <= self.margin_s <= self.min_gap_s / 2:
            raise ValueError(f"margin_s is between 0 and half of min_gap_s; found {self.margin_s} and {self.min_gap_s}")


@dataclass(frozen=True, slots=True)
class SpeechMeasures:
    """`speech_share`: of the chunks. `pause_snr_db`: level of speech over the PAUSE_SHARE quantile of the
    pauses, within SNR_DB; None where either is hardly there. Pauses are NEAR_CHUNKS away from speech, and no digital
    silence: that is no room.
    """

    speech_share: float
    pause_snr_db: float | None


def measure_speech(
    sound: Highpassed, probability: float, stride: int = 1, loud_power: float | None = None
) -> SpeechMeasures | None:
    """Measures of the chunks that hold speech with at least this probability. None for clips under MIN_S.

    With `loud_power`, that of the loudest tenth of the clip, the detector hears it at HEARD_DBFS: it misses words of a
    quiet voice.
    Of a clip over WHOLE_S one stretch of STRETCH_CHUNKS in `stride` is heard: by far the dearest of all measures.
    """
    if len(sound) < MIN_S * sound.rate_hz:
        return None
    size, powers = to_samples(CHUNK_S, sound.rate_hz), []
    gain = None if loud_power is None else _gain(loud_power)

    def measured() -> Iterator[Floats]:
        for block_T in _heard(sound, size, stride):
            powers.append(_chunk_powers(block_T, size))
            yield block_T if gain is None else block_T * gain

    probability_N = np.concatenate(list(speech_probabilities(measured(), sound.rate_hz)))
    speech_N, pause_N = probability_N >= probability, probability_N < PAUSE
    return SpeechMeasures(float(np.mean(speech_N)), _pause_snr_db(np.concatenate(powers), speech_N, pause_N))


def _gain(loud_power: float) -> np.float32:
    """Return the gain that brings the power to HEARD_DBFS; at most MOST_GAIN_DB, so that an empty room stays soft."""
    decibels = HEARD_DBFS - 10 * np.log10(max(loud_power, 1e-12))
    return np.float32(10 ** (min(decibels, MOST_GAIN_DB) / 20))


def _heard(sound: Highpassed, size: int, stride: int) -> Iterator[Floats]:
    """All of a short clip; of a longer one every `stride`-th stretch of whole chunks of `size`, in blocks of BLOCK_S;
    what is left at the end is not heard.
    """
    if len(sound) <= WHOLE_S * sound.rate_hz:
        yield sound.part(0, len(sound))
        return
    stretch = STRETCH_CHUNKS * size
    cycle = stretch * stride
    most = max(1, round(BLOCK_S * sound.rate_hz / stretch))
    cycles = len(sound) // cycle
    for first in range(0, cycles, most):
        part_T = sound.part(first * cycle, min(first + most, cycles) * cycle)
        yield part_T.reshape(-1, stride, stretch)[:, 0].reshape(-1)


def _chunk_powers(block_T: Floats, size: int) -> NDArray[np.float64]:
    """Power [N] of each whole chunk of `size` samples."""
    block_NT = block_T[: len(block_T) // size * size].reshape(-1, size)
    power_N: NDArray[np.float64] = np.einsum("nt,nt->n", block_NT, block_NT).astype(np.float64) / size
    return power_N


def _pause_snr_db(
    power_N: NDArray[np.float64], speech_N: NDArray[np.bool_], pause_N: NDArray[np.bool_]
) -> float | None:
    chunks = min(len(speech_N), len(power_N))
    pause_N = (pause_N & ~_near(speech_N, NEAR_CHUNKS))[:chunks]  # a last chunk that is not full may be speech, too
    power_N, speech_N = power_N[:chunks], speech_N[:chunks]
    pause_N &= power_N >= DIGITAL_SILENCE**2
    if min(np.count_nonzero(speech_N), np.count_nonzero(pause_N)) < LEAST_CHUNKS:
        return None
    soft_N, place = power_N[pause_N], int(PAUSE_SHARE * (np.count_nonzero(pause_N) - 1))
    noise = max(float(np.partition(soft_N, place)[place]), 1e-12)  # np.quantile takes longer than all else here
    voice = max(float(power_N[speech_N].mean()) - noise, 1e-12)
    return float(np.clip(10 * np.log10(voice / noise), *SNR_DB))


def _near(chosen_N: NDArray[np.bool_], chunks: int) -> NDArray[np.bool_]:
    """True for chunks that are chosen, or at most so many before or after one that is."""
    return np.convolve(chosen_N, np.ones(2 * chunks + 1), mode="full")[chunks : chunks + len(chosen_N)] > 0


def speech_spans(blocks: Iterable[Floats], rate_hz: int, spec: SpanSpec) -> Iterator[tuple[float, float]]:
    """(start_s, end_s) of each span of speech, in order, without overlap, as soon as it is over.

    `blocks`: the mono samples [T] of one recording, cut anywhere; one block at a time is in memory, and is heard
    without its offset and what lies under 50 Hz.
    """
    samples = 0

    def counted() -> Iterator[Floats]:
        nonlocal samples
        for block_T in blocks:
            samples += len(block_T)
            yield Highpassed(block_T, rate_hz).part(0, len(block_T))

    for first, end in _runs(speech_probabilities(counted(), rate_hz), spec):
        start_s, end_s = first * CHUNK_S, min(end * CHUNK_S, to_seconds(samples, rate_hz))
        if end_s - start_s >= spec.min_speech_s:
            yield max(0.0, start_s - spec.margin_s), min(end_s + spec.margin_s, to_seconds(samples, rate_hz))


def speech_probabilities(blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
    """Probability [N] of speech in each chunk of 32 ms, some chunks at a time, wherever the blocks are cut."""
    state, rest_T = silero.START, np.zeros(0, np.float32)
    for block_T in _resampled(blocks, rate_hz):
        rest_T = np.concatenate((rest_T, block_T))
        whole = len(rest_T) // silero.CHUNK * silero.CHUNK
        if whole >= TOGETHER_CHUNKS * silero.CHUNK:
            probability_N, state = silero.probabilities(rest_T[:whole], state)
            rest_T = rest_T[whole:]
            yield probability_N
    if len(rest_T):
        yield silero.probabilities(rest_T, state)[0]


def _resampled(blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
    """The same audio at 16 kHz. The low-quality recipe of soxr (96 dB) is enough to tell speech by."""
    if rate_hz == silero.RATE_HZ:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate_hz, silero.RATE_HZ, 1, dtype="float32", quality="LQ")
    for block_T in blocks:
        yield stream.resample_chunk(block_T)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _runs(probabilities: Iterable[Floats], spec: SpanSpec) -> Iterator[tuple[int, int]]:
    """First chunk and end of each run of speech; a pause ends it once it has lasted `min_gap_s`."""
    first = end = None
    chunk = 0
    for probability_N in probabilities:
        for probability in probability_N.tolist():
            if probability >= spec.probability - (HYSTERESIS if end == chunk else 0):  # it was speech just before
                first, end = chunk if first is None else first, chunk + 1
            elif first is not None and end is not None and (chunk + 1 - end) * CHUNK_S >= spec.min_gap_s:
                yield first, end
                first = end = None
            chunk += 1
    if first is not None and end is not None:
        yield first, end
