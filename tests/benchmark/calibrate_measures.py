"""What the measures read where the truth is known, on real recordings: `python tests/benchmark/calibrate_measures.py`.

Needs ALLEARS_REAL_DATA. Clean speech: of 600 clips of speechocean762 that last three seconds or more, the 60 whose
speech stands highest over its pauses (so that measure of the clean ones is biased upwards, and the mixtures are as
clean as the corpus has them). Noise: white, or esc10 without the classes of which a second may be silent (dog, rooster,
clock). A fixed seed; each line is the median over clips [lower, upper quartile] and its bias, the median difference
from the truth.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audio.decode import resample
from allears.audio.highpass import Highpassed
from allears.audio.hum import mains_hum
from allears.audio.measures import (
    CEILING_DB,
    MeasureSpec,
    SoundMeasures,
    frame_powers,
    loud_power,
    measure_samples,
    measure_sound,
    spectrum_blocks,
)
from allears.audio.speech import SpeechMeasures, measure_speech
from allears.params.audit import AuditParams
from allears.pipelines.audit.nodes import measure_spec

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
RATE = 16_000
STEADY = ("rain", "sea_waves", "helicopter", "chainsaw", "fire_crackling")
CLIPS, CANDIDATES = 60, 600
SPEC: MeasureSpec = measure_spec(AuditParams().measures)

Row = tuple[str, float | None, Sequence[float]]  # what was done, the truth, what was read


def main() -> None:
    """Print the tables."""
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    rng = np.random.default_rng(0)
    speech = clean_speech(rng)
    noises = {name: sounds([name]) for name in STEADY}
    steady = [audio for each in noises.values() for audio in each]
    for name, given in (("steady noise of esc10", steady), ("white noise", [white(rng)])):
        estimates(f"SNR of mixtures with {name} (dB)", speech, given, rng)
    table("SNR of mixtures at 10 dB, by noise (dB)", snr_by_noise(speech, noises, rng))
    table("Bandwidth behind a low-pass (Hz)", bandwidth(speech))
    table("Hum planted under speech: prominence (dB)", hum(speech, rng))
    table("Share of speech in speech, steady noise and silence put one after the other", shares(speech, steady, rng))
    table("Share of silence", silence(speech))
    table("Clipped share under gain", clipping(speech))


def table(title: str, rows: Sequence[Row]) -> None:
    """One markdown table; more digits for shares than for decibels and hertz."""
    print(f"\n## {title}\n\n| given | true | read: median [quartiles] | bias |\n|---|---|---|---|")
    for given, truth, read in rows:
        low, middle, high = np.quantile(np.array(read, dtype=np.float64), [0.25, 0.5, 0.75])
        digits = 3 if max(abs(middle), abs(truth or 0)) <= 1 else 1
        known = "" if truth is None else f"{truth:.{digits}f}"
        bias = "" if truth is None else f"{middle - truth:+.{digits}f}"
        print(f"| {given} | {known} | {middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] | {bias} |")


def clean_speech(rng: np.random.Generator) -> list[np.ndarray]:
    """The clips with the highest estimate of candidates drawn at random."""
    files = sorted((REAL / "speechocean762").rglob("*.opus"))
    found = []
    for number in rng.permutation(len(files))[:CANDIDATES]:
        audio, rate = soundfile.read(files[number], dtype="float32")
        if rate == RATE and len(audio) >= 3 * RATE:
            heard = measured_speech(audio, 1)
            over_pauses = heard.pause_snr_db if heard else None
            found.append((-np.inf if over_pauses is None else over_pauses, audio))
    return [audio for _, audio in sorted(found, key=lambda each: -each[0])[:CLIPS]]


def sounds(classes: Sequence[str]) -> list[np.ndarray]:
    """Recordings of these classes of esc10 at RATE, in which no second is silent."""
    files = sorted(file for name in classes for file in (REAL / "esc10" / name).glob("*.ogg"))
    found = []
    for file in files:
        audio, rate = soundfile.read(file, dtype="float32")
        audio = resample(audio, rate, RATE)
        seconds = audio[: len(audio) // RATE * RATE].reshape(-1, RATE)
        if np.sqrt(np.mean(np.square(seconds), axis=1)).min() > 1e-3:
            found.append(audio)
    return found


def level(audio: np.ndarray) -> float:
    """RMS."""
    return float(np.sqrt(np.mean(np.square(audio), dtype=np.float64)))


def mixture(voice: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Voice and noise of the voice's length; the ratio is of their power over the whole clip, pauses included."""
    long = np.resize(noise, len(voice))
    return voice + long * np.float32(level(voice) / level(long) * 10 ** (-snr_db / 20))


def white(rng: np.random.Generator) -> np.ndarray:
    """Half a minute."""
    return rng.normal(0, 0.1, 30 * RATE).astype(np.float32)


def wada_snr_db(audio: np.ndarray) -> float:
    """The estimate of a clip that has one."""
    return measured_sound(audio).snr_db or 0.0


def pause_snr_db(audio: np.ndarray) -> float:
    """Speech over pauses, NaN where either is hardly there."""
    found = measured_speech(audio, AuditParams().measures.speech_stride)
    return np.nan if found is None or found.pause_snr_db is None else found.pause_snr_db


def estimates(title: str, speech: list[np.ndarray], noises: list[np.ndarray], rng: np.random.Generator) -> None:
    """WADA, speech over pauses and their difference where there are both, at known ratios from -10 to 60 dB."""
    rows: dict[str, list[Row]] = {"WADA": [], "speech over pauses": [], "WADA less the other, each at its ceiling": []}
    for db in (-10, -5, 0, 5, 10, 15, 20, 25, 30, 40, 60):
        mixed = [mixture(voice, noises[rng.integers(len(noises))], db) for voice in speech]
        one, other = np.array([wada_snr_db(each) for each in mixed]), np.array([pause_snr_db(each) for each in mixed])
        both = ~np.isnan(other)
        apart = (one - np.minimum(other, CEILING_DB))[both]
        far = f"{db} dB: {both.mean():.0%} have both, {np.mean(np.abs(apart) > 10):.0%} of them over 10 dB apart"
        rows["WADA"].append((f"{db} dB", db, one.tolist()))
        rows["speech over pauses"].append((f"{db} dB", db, other[both].tolist()))
        rows["WADA less the other, each at its ceiling"].append(
            (f"{far}, at most {np.abs(apart).max():.1f}", 0, apart.tolist())
        )
    for name, each in rows.items():
        table(f"{title}: {name}", each)


def snr_by_noise(speech: list[np.ndarray], noises: dict[str, list[np.ndarray]], rng: np.random.Generator) -> list[Row]:
    """At 10 dB."""
    return [
        (name, 10, [wada_snr_db(mixture(voice, each[rng.integers(len(each))], 10)) for voice in speech])
        for name, each in noises.items()
    ]


def bandwidth(speech: list[np.ndarray]) -> list[Row]:
    """Behind Butterworth filters of several orders, and resampled down and up again."""

    def read(change: Callable[[np.ndarray], np.ndarray]) -> list[float]:
        return [measured_bandwidth(change(voice)) for voice in speech[:40]]

    rows: list[Row] = []
    for hz in (1_000, 2_000, 3_400, 5_500, 7_000):
        for order in (8, 16, 32):
            sos = scipy.signal.butter(order, hz, fs=RATE, output="sos")
            rows.append((f"Butterworth, order {order}", hz, read(lambda x, sos=sos: scipy.signal.sosfilt(sos, x))))
    for rate in (2_000, 4_000, 8_000, 12_000, 15_000):
        rows.append(  # noqa: PERF401  # beside the loop above it reads better
            (
                f"resampled to {rate} Hz and back",
                rate / 2,
                read(lambda x, rate=rate: resample(resample(x, RATE, rate), rate, RATE)),
            )
        )
    return [*rows, ("nothing", None, read(lambda x: x))]


def measured_bandwidth(audio: np.ndarray) -> float:
    """As the audit measures it."""
    return measured_sound(audio).bandwidth_hz or 0.0


def measured_speech(audio: np.ndarray, stride: int) -> SpeechMeasures | None:
    """As the audit measures it."""
    sound = Highpassed(np.ascontiguousarray(audio, dtype=np.float32), RATE)
    return measure_speech(sound, SPEC.speech_probability, stride, loud_power(frame_powers(sound)))


def measured_sound(audio: np.ndarray) -> SoundMeasures:
    """As the audit measures them."""
    sound = Highpassed(np.ascontiguousarray(audio, dtype=np.float32), RATE)
    power_K = np.concatenate([block.power_FK for block in spectrum_blocks(sound)]).mean(axis=0, dtype=np.float64)
    return measure_sound(sound, SPEC, frame_powers(sound), power_K)


def hum(speech: list[np.ndarray], rng: np.random.Generator) -> list[Row]:
    """Five harmonics, each 3 dB under the one before; the level is the whole's, under that of the clip."""
    rows: list[Row] = []
    for mains in (50, 60):
        for db in (-10, -20, -30, -40, -50):
            read = [
                mains_hum(voice + level(voice) * 10 ** (db / 20) * lines(len(voice), mains, rng), RATE)
                for voice in speech
            ]
            right = np.mean([each is not None and each.mains_hz == mains for each in read])
            found = np.mean([each is not None and each.prominence_db >= 10 for each in read])
            name = f"{mains} Hz, {db} dB: named right {right:.0%}, over 10 dB {found:.0%}"
            rows.append((name, None, [each.prominence_db for each in read if each]))
    clean = [each.prominence_db for each in (mains_hum(voice, RATE) for voice in speech) if each]
    return [*rows, (f"nothing: over 10 dB {np.mean(np.array(clean) >= 10):.0%}", None, clean)]


def lines(samples: int, mains: int, rng: np.random.Generator) -> np.ndarray:
    """Unit RMS."""
    time = np.arange(samples) / RATE * (1 + rng.uniform(-0.002, 0.002))
    audio = sum(10 ** (-3 * k / 20) * np.sin(2 * np.pi * (mains * (k + 1) * time + rng.uniform())) for k in range(5))
    return (audio / level(audio)).astype(np.float32)


def shares(speech: list[np.ndarray], noises: list[np.ndarray], rng: np.random.Generator) -> list[Row]:
    """The truth: the detector's own share of the speech alone (there are pauses in it), diluted by what is added."""
    rows: list[Row] = []
    for stride in (1, 2, 4):
        alone = heard(speech, 1)
        rows.append((f"speech alone, stride {stride}", float(np.median(alone)), heard(speech, stride)))
        for name, share in (("a half", 0.5), ("a fifth", 0.2), ("none", 0.0)):
            for filler in ("noise", "silence"):
                mixed, true = [], []
                for voice, own in zip(speech, alone, strict=True):
                    other = np.resize(
                        noises[rng.integers(len(noises))] if filler == "noise" else np.zeros(1), 10 * len(voice)
                    )
                    other = other.astype(np.float32)
                    length = len(voice) if share == 0 else round(len(voice) * (1 / share - 1))
                    mixed.append(other[:length] if share == 0 else np.concatenate((voice, other[:length])))
                    true.append(own * share)
                rows.append(
                    (
                        f"{name} of it speech, else {filler}, stride {stride}",
                        float(np.median(true)),
                        heard(mixed, stride),
                    )
                )
    return rows


def heard(clips: list[np.ndarray], stride: int) -> list[float]:
    """Shares of speech."""
    found = [measured_speech(audio, stride) for audio in clips]
    return [each.speech_share if each else 0.0 for each in found]


def silence(speech: list[np.ndarray]) -> list[Row]:
    """Digital silence or a quiet room (-70 dBFS) added to clips whose own share is taken off."""
    rows: list[Row] = []
    rng = np.random.default_rng(1)
    for added in (0.0, 0.2, 0.5, 0.8):
        for name, room in (("digital", 0.0), ("a room at -70 dBFS", 10 ** (-70 / 20))):
            read, truth = [], []
            for voice in speech:
                length = round(len(voice) * added / (1 - added))
                both = np.concatenate((voice, rng.normal(0, room, length).astype(np.float32)))
                own = silent_share(voice)
                read.append(silent_share(both))
                truth.append(own * (1 - added) + added)
            rows.append((f"{added:.0%} {name}", float(np.median(truth)), read))
    return rows


def silent_share(audio: np.ndarray) -> float:
    """As the audit measures it."""
    return measured_sound(audio).silence_share


def clipping(speech: list[np.ndarray]) -> list[Row]:
    """Peaks at full scale, then gain and a limiter: the truth is counted before it."""
    rows: list[Row] = []
    for gain_db in (0, 3, 6, 12, 20):
        loud = [voice / np.abs(voice).max() * 10 ** (gain_db / 20) for voice in speech]
        truth = [float(np.mean(np.abs(voice) >= SPEC.clip_level)) for voice in loud]
        read = [measure_samples(np.clip(voice, -1, 1), RATE, SPEC.clip_level).clipped_share for voice in loud]
        rows.append((f"+{gain_db} dB", float(np.median(truth)), read))
    return rows


if __name__ == "__main__":
    main()
