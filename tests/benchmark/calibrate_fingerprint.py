"""What the fingerprint survives: share of distorted copies found, and of other clips taken for copies.

Run `ALLEARS_REAL_DATA=FOLDER python tests/benchmark/calibrate_fingerprint.py`. Some recordings of each corpus are
re-encoded, amplified, clipped, mixed with noise, trimmed and shifted; a copy is found when fingerprint, length and
waveform agree as `audit.duplicates` asks. Other clips are all pairs of nearly the same length.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audio import ffmpeg
from allears.audio import fingerprint as fp
from allears.audio.alignment import RATE_HZ, least_correlation
from allears.audio.decode import DECODERS, decode, resample
from allears.params.audit import DuplicateParams
from tests.benchmark.real_sounds import files, words_of

COPIES = {"speech": 60, "digits": 60, "sounds": 30}
OTHERS = {"speech": 600, "digits": 1_500, "sounds": 192}
LIMITS = (0.15, 0.17, 0.19, 0.21, 0.23, 0.25, 0.27, 0.30)
PARAMS = DuplicateParams()
CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"opus {k} kbit/s": ("opus", {"acodec": "libopus", "audio_bitrate": f"{k}k"}) for k in (16, 24, 32, 64)},
    **{f"mp3 {k} kbit/s": ("mp3", {"acodec": "libmp3lame", "audio_bitrate": f"{k}k"}) for k in (32, 64, 128)},
    **{f"aac {k} kbit/s": ("m4a", {"acodec": "aac", "audio_bitrate": f"{k}k"}) for k in (32, 64)},
    "µ-law, 8 kHz": ("wav", {"acodec": "pcm_mulaw", "ar": 8_000}),
}
Sound = tuple[np.ndarray, int]


def main() -> None:
    """Print both tables."""
    print(f"{DECODERS}; found: at most {PARAMS.max_bit_error:.0%} of the bits differ, lengths by", end=" ")
    print(f"{PARAMS.max_duration_difference_s:g} s, the waveforms correlate at {PARAMS.min_correlation:g}")
    chosen, noises = files(COPIES, seed=0), files({"sounds": 40}, seed=1)["sounds"]
    with ProcessPoolExecutor(2) as pool:
        results = {name: list(pool.map(partial(_copies, noises=noises), some)) for name, some in chosen.items()}
        _print_copies(results)
        others = files(OTHERS, seed=2)
        _print_others({name: list(pool.map(_print_of, some, chunksize=20)) for name, some in others.items()})


def _copies(path: Path, noises: list[Path]) -> dict[str, tuple[float, bool]]:
    """Distortion → share of bits that differ, and whether the copy is found."""
    audio, rate = decode(path)
    if rate == 48_000:  # an Opus file of 16 kHz speech
        audio, rate = resample(audio, rate, 16_000), 16_000
    original, rng = words_of(audio, rate), np.random.default_rng(zlib.crc32(path.name.encode()))
    results = {}
    for name, (copy, copy_rate) in _distorted(audio, rate, noises, rng):
        error = float(fp.distances(original, words_of(copy, copy_rate)[None])[0])
        longer_s = abs(len(copy) / copy_rate - len(audio) / rate)
        found = error <= PARAMS.max_bit_error and longer_s <= PARAMS.max_duration_difference_s
        results[name] = (error, found and _agree((audio, rate), (copy, copy_rate)) >= PARAMS.min_correlation)
    return results


def _agree(one: Sound, other: Sound) -> float:
    one_T, other_T = (resample(audio.astype(np.float32), rate, RATE_HZ) for audio, rate in (one, other))
    return least_correlation(one_T, other_T)


def _distorted(
    audio: np.ndarray, rate: int, noises: list[Path], rng: np.random.Generator
) -> Iterator[tuple[str, Sound]]:
    yield from _encoded(audio, rate)
    yield "8 kHz", (resample(audio, rate, 8_000), 8_000)
    yield "-20 dB in 16 bits", (np.round(audio * 3276.8) / 32768, rate)
    yield "+20 dB, clipped", (np.clip(10 * audio, -1, 1), rate)
    for share in (0.001, 0.01, 0.05):
        level = np.quantile(np.abs(audio), 1 - share)
        yield f"{share:.1%} of the samples clipped", (np.clip(audio, -level, level), rate)
    for decibels in (30, 20, 15, 10, 5, 0):
        yield f"noise at {decibels} dB", (_noisy(audio, rate, decibels, noises, rng), rate)
    for seconds in (0.01, 0.02, 0.05, 0.1):
        yield f"{1000 * seconds:.0f} ms later, same length", (_later(audio, round(seconds * rate)), rate)
    for share in (0.01, 0.02, 0.05, 0.10, 0.20):
        cut = round(share * len(audio))
        yield f"first {share:.0%} cut off", (audio[cut:], rate)
        yield f"last {share:.0%} cut off", (audio[:-cut], rate)


def _encoded(audio: np.ndarray, rate: int) -> Iterator[tuple[str, Sound]]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.wav"
        soundfile.write(source, np.clip(audio, -1, 1), rate, subtype="PCM_16")
        for name, (suffix, options) in CODECS.items():
            target = Path(folder) / f"copy.{suffix}"
            ffmpeg.convert(source, target, options)
            yield name, decode(target)


def _noisy(audio: np.ndarray, rate: int, snr_db: float, noises: list[Path], rng: np.random.Generator) -> np.ndarray:
    noise = np.zeros(1)
    while not noise.any():
        noise = np.resize(resample(*decode(noises[rng.integers(len(noises))]), rate), len(audio))
    return audio + noise * np.sqrt(np.mean(audio**2) / np.mean(noise**2) / 10 ** (snr_db / 10))


def _later(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.concatenate([np.zeros(samples, dtype=audio.dtype), audio[:-samples]])


def _print_of(path: Path) -> tuple[float, np.ndarray]:
    audio, rate = decode(path)
    return len(audio) / rate, words_of(audio, rate)


def _print_copies(results: dict[str, list[dict[str, tuple[float, bool]]]]) -> None:
    titles = [f"{name} ({len(each)}): found | median bits" for name, each in results.items()]
    print(f"\n| copies | {' | '.join(titles)} |")
    print("|---" + "|---:" * (2 * len(results)) + "|")
    for distortion in next(iter(results.values()))[0]:
        cells = []
        for each in results.values():
            errors, found = zip(*(clip[distortion] for clip in each), strict=True)
            cells.append(f"{np.mean(found):.2f} | {np.median(errors):.3f}")
        print(f"| {distortion} | {' | '.join(cells)} |")


def _print_others(prints: dict[str, list[tuple[float, np.ndarray]]]) -> None:
    print(f"\n| other clips | pairs | lowest | {' | '.join(f'≤ {limit:.2f}' for limit in LIMITS)} |")
    print("|---" + "|---:" * (2 + len(LIMITS)) + "|")
    for name, each in prints.items():
        seconds, many = np.array([length for length, _ in each]), np.array([found for _, found in each])
        errors = np.concatenate([_errors(i, seconds, many) for i in range(len(each))])
        counts = " | ".join(f"{np.count_nonzero(errors <= limit)}" for limit in LIMITS)
        print(f"| {name} ({len(each)}) | {len(errors):,} | {errors.min():.3f} | {counts} |")


def _errors(i: int, seconds: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Between clip `i` and all later ones of nearly its length."""
    near = np.flatnonzero(np.abs(seconds[i + 1 :] - seconds[i]) <= PARAMS.max_duration_difference_s)
    return fp.distances(many[i], many[i + 1 + near])


if __name__ == "__main__":
    main()
