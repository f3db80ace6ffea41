"""What a worker does with a clip: decode it once, take everything from it. Free of pandas, so that it starts fast."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from allears.audio import fingerprint as fp
from allears.audio.channels import measure_channels
from allears.audio.decode import DECODERS, Channels, Mono, mixed
from allears.audio.highpass import Highpassed
from allears.audio.hum import mains_hum
from allears.audio.measures import (
    MeasureSpec,
    frame_powers,
    loud_power,
    measure_samples,
    measure_sound,
    spectrum_blocks,
)
from allears.audio.speech import DETECTOR, measure_speech
from allears.corpus.clips import ClipRef
from allears.corpus.opening import decoded_clips
from allears.errors import AudioError
from allears.storage.digest import value_digest

VERSION = 9


def work_key(ref: ClipRef, spec: MeasureSpec) -> str:
    """What a clip's measures depend on: its audio, the spec, the code's VERSION and the decoders."""
    audio = [ref.file_sha256, ref.channel, ref.start_s, ref.end_s]
    how = [VERSION, fp.VERSION, DECODERS, DETECTOR, asdict(spec)]
    return value_digest([audio, how])[:32]


def measure_clips(refs: Sequence[ClipRef], spec: MeasureSpec) -> Iterator[tuple[ClipRef, dict[str, Any] | AudioError]]:
    """Each clip of a batch (`corpus.opening.batches`) with its measures, or with why there are none."""
    for ref, decoded in decoded_clips(refs):
        try:
            yield ref, decoded if isinstance(decoded, AudioError) else measure_clip(*decoded, spec)
        except AudioError as error:
            yield ref, error


def measure_clip(audio_TC: Channels, rate_hz: int, spec: MeasureSpec) -> dict[str, Any]:
    """Measures of one decoded clip as JSON-like values: of its channels, then of their mean.

    Raises AudioError when it is not audio.
    """
    audio_T = mixed(audio_TC)
    samples = measure_samples(audio_T, rate_hz, spec.clip_level)
    sound = Highpassed(audio_T, rate_hz)
    power_K: np.ndarray[Any, np.dtype[np.float64]] = np.zeros(1)
    energies, frames = [], 0
    for block in spectrum_blocks(sound):
        power_K = power_K + block.power_FK.sum(axis=0, dtype=np.float64)
        frames += len(block.power_FK)
        energies.append(fp.band_energies(block.power_FK, block.bin_hz))
    hum = mains_hum(audio_T, rate_hz)
    power_F = frame_powers(sound)
    speech = measure_speech(sound, spec.speech_probability, spec.speech_stride, loud_power(power_F))
    return (
        samples.to_json()
        | measure_sound(sound, spec, power_F, power_K / frames, samples.zero_share).to_json()
        | measure_channels(audio_TC, rate_hz).to_json()
        | {
            "hum_db": hum.prominence_db if hum else None,
            "hum_hz": hum.mains_hz if hum else None,
            "speech_share": speech.speech_share if speech else None,
            "pause_snr_db": speech.pause_snr_db if speech else None,
            "decoded_rate_hz": float(rate_hz),
            "pcm_sha256": pcm_digest(audio_T, rate_hz),
            "fingerprint": fp.fingerprint(np.concatenate(energies)).hex(),
        }
    )


def pcm_digest(audio_T: Mono, rate_hz: int) -> str:
    """sha256 of the rate and the samples of the mean of a clip's channels: equal where the same audio is decoded."""
    pcm = hashlib.sha256(str(rate_hz).encode())
    pcm.update(np.ascontiguousarray(audio_T).data)
    return pcm.hexdigest()
