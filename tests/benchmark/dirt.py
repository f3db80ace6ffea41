"""Dirt planted into clean recordings: the same ways for the sample and for real corpora, and the truth about it.

`plant` takes clips that an audit kept, writes them anew as an AudioFolder and spoils some; `truth.csv` says which. The
audit never reads that table; it is scored against it afterwards (`allears.audit.truth`). Most clips, spoiled or not,
also get an innocent trait: an offset, rumble, another level, or padding (digital silence, or more of its own room). No
audit should mind it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from allears.audio import ffmpeg
from allears.audio.decode import decode, mixed, resample
from allears.corpus.clips import ClipRef
from allears.corpus.manifest import clip_refs
from allears.corpus.opening import decoded_clips
from allears.engine.cores import cores
from allears.shards.tar import to_pcm

RATE_HZ = 16_000
SIGNAL = ("clipped", "silent", "upsampled", "truncated", "noisy")
COPIES = ("byte_duplicate", "pcm_duplicate", "reencoded_duplicate")
KINDS = (*SIGNAL, *COPIES, "swapped_text")
TRAITS = ("offset", "rumble", "gain", "padding")
LOWEST_HZ = 50.0
TRAIT_SHARE = 0.6  # of the clips have one
_CODECS: dict[str, dict[str, Any]] = {
    ".opus": {"acodec": "libopus", "b:a": "24k"},
    ".mp3": {"acodec": "libmp3lame", "b:a": "48k"},
}
_FACTS = ("text", "label", "language", "accent", "gender", "age", "speaker", "session", "licence", "split")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    """One clip to write as `name`, with its defect (None: clean) and innocent trait. `noise`: a recording to mix in."""

    ref: ClipRef
    name: str
    defect: str | None
    trait: str | None
    seed: int
    noise: str | None


def plant(
    clips: pd.DataFrame,
    folder: Path,
    count: dict[str, int],
    *,
    noises: Sequence[Path],
    seed: int,
    split: str | None = None,
) -> tuple[Path, Path]:
    """The AudioFolder and its truth table below `folder`; each clip is hit once at most.

    `clips`: rows of a manifest. `count`: how many of each kind; copies are of clean clips and come on top. `split`:
    dirt falls into this one only.
    """
    rng = np.random.default_rng(seed)
    refs = clip_refs(clips)
    order = rng.permutation(len(refs)).tolist()
    if split is not None:
        order.sort(key=lambda at: clips["split"].iloc[at] == split)  # they are taken from the end
    facts = clips[list(_FACTS)].astype(object).where(clips[list(_FACTS)].notna(), None).to_dict("records")
    jobs: list[Job] = []
    rows: list[dict[str, Any]] = []
    truth: list[dict[str, str]] = []
    for defect in ("swapped_text", *SIGNAL, *COPIES):
        chosen = [order.pop() for _ in range(count.get(defect, 0))]
        if defect == "swapped_text":
            facts = _swapped(facts, chosen)
        for at in chosen:
            job = _job(refs[at], defect, rng, noises)
            extra = [replace(job, defect=None)] if defect in COPIES else []
            planted = replace(job, name=f"{job.name}-b") if defect in COPIES else job
            for each in (*extra, planted):
                jobs.append(each)
                rows.append({"file_name": _path(each)} | facts[at])
            truth.append({"path": _path(planted), "defect": defect, "detail": _path(job)})
    for at in order:
        job = _job(refs[at], None, rng, noises)
        jobs.append(job)
        rows.append({"file_name": _path(job)} | facts[at])
    audio = folder / "audio"
    shutil.rmtree(audio, ignore_errors=True)
    audio.mkdir(parents=True)
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(partial(render, folder=audio), jobs, chunksize=16))
    pd.DataFrame(rows).sort_values("file_name").to_csv(audio / "metadata.csv", index=False)
    pd.DataFrame(truth).to_csv(folder / "truth.csv", index=False)
    return audio, folder / "truth.csv"


def render(job: Job, folder: Path) -> None:
    """Write one file."""
    [(_, decoded)] = decoded_clips([job.ref])
    assert isinstance(decoded, tuple), decoded
    rate_hz = RATE_HZ if job.defect == "upsampled" else min(decoded[1], RATE_HZ)
    audio_T = resample(mixed(decoded[0]), decoded[1], rate_hz)
    audio_T = audio_T / max(1.0, float(np.abs(audio_T).max()))
    target = folder / _path(job)
    if job.defect in ("clipped", "upsampled"):  # they come last in a recording chain
        audio_T = spoil(with_trait(audio_T, rate_hz, job), rate_hz, job)
    else:
        audio_T = with_trait(spoil(audio_T, rate_hz, job), rate_hz, job)
    if job.defect == "reencoded_duplicate":
        plain = target.with_suffix(".wav")
        soundfile.write(plain, to_pcm(audio_T), rate_hz)
        ffmpeg.convert(plain, target, _CODECS[target.suffix])
        plain.unlink()
        return
    soundfile.write(target, to_pcm(audio_T), rate_hz)
    if job.defect == "truncated":
        whole = target.read_bytes()
        target.write_bytes(whole[: len(whole) // 2])


def with_trait(audio_T: Floats, rate_hz: int, job: Job) -> Floats:
    """`audio_T` [T] with the innocent trait, within full scale; a copy and its source have the same."""
    rng = np.random.default_rng([job.seed, 1])
    match job.trait:
        case "offset":
            changed_T = audio_T + rng.choice([-1, 1]) * rng.uniform(0.02, 0.15)
        case "rumble":
            turns_T = np.arange(len(audio_T)) / rate_hz * rng.uniform(5, 28) + rng.uniform()
            changed_T = audio_T + rng.uniform(0.02, 0.15) * np.sin(2 * np.pi * turns_T)
        case "gain":
            changed_T = audio_T * 10 ** (-rng.uniform(0, 24) / 20)
        case "padding":
            room_T = softest(audio_T, rate_hz) if rng.uniform() < 0.5 else np.zeros(1, np.float32)
            ends = [np.resize(room_T, int(rng.uniform(0.05, 0.25) * rate_hz)) for _ in range(2)]
            changed_T = np.concatenate((ends[0], audio_T, ends[1]))
        case _:
            return audio_T
    return np.asarray(changed_T / max(1.0, float(np.abs(changed_T).max())), dtype=np.float32)


def softest(audio_T: Floats, rate_hz: int) -> Floats:
    """A tenth of a second forwards and backwards: as much of the clip's own room as it has."""
    size = min(rate_hz // 10, len(audio_T))
    pieces_NT = audio_T[: len(audio_T) // size * size].reshape(-1, size)
    piece_T = pieces_NT[np.square(pieces_NT).sum(axis=1).argmin()]
    return np.concatenate((piece_T, piece_T[::-1]))


def spoil(audio_T: Floats, rate_hz: int, job: Job) -> Floats:
    """`audio_T` [T] with the signal's defect."""
    rng = np.random.default_rng(job.seed)
    match job.defect:
        case "clipped":  # as the sample is: 12 dB over full scale
            return np.clip(audio_T * (4.0 / max(float(np.abs(audio_T).max()), 1e-3)), -1.0, 1.0)
        case "silent":  # a room at −70 dBFS
            return (3e-4 * rng.standard_normal(len(audio_T))).astype(np.float32)
        case "upsampled":
            return resample(resample(audio_T, rate_hz, 8_000), 8_000, rate_hz)[: len(audio_T)]
        case "noisy":
            return mixed_with(audio_T, rate_hz, Path(job.noise or ""), float(rng.uniform(-5.0, 5.0)), rng)
        case _:
            return audio_T


def mixed_with(audio_T: Floats, rate_hz: int, noise: Path, snr_db: float, rng: np.random.Generator) -> Floats:
    """`audio_T` with a stretch of `noise` at `snr_db`, of the powers over the whole clip; at most full scale.

    Power is measured above LOWEST_HZ: up to nine tenths of the power of some outdoor recordings is wind below it, which
    is rumble, not noise.
    """
    noise_T = resample(*decode(noise), rate_hz)
    noise_T = np.resize(np.roll(noise_T, int(rng.integers(len(noise_T)))), len(audio_T))
    power, noise_power = _heard_power(audio_T, rate_hz), _heard_power(noise_T, rate_hz)
    gain = np.sqrt(power / max(noise_power, 1e-12) * 10 ** (-snr_db / 10))
    mix_T = audio_T + np.float32(gain) * noise_T
    return np.asarray(mix_T / max(1.0, float(np.abs(mix_T).max())), dtype=np.float32)


def _heard_power(audio_T: Floats, rate_hz: int) -> float:
    """Mean square of `audio_T` [T] over LOWEST_HZ, by another filter than the audit's."""
    sections = butter(4, LOWEST_HZ, "highpass", fs=rate_hz, output="sos")
    return float(np.mean(np.square(sosfiltfilt(sections, audio_T.astype(np.float64)))))


def _job(ref: ClipRef, defect: str | None, rng: np.random.Generator, noises: Sequence[Path]) -> Job:
    noise = str(noises[int(rng.integers(len(noises)))]) if defect == "noisy" else None
    seed = int(rng.integers(2**31))
    chance = np.random.default_rng([seed, 2])  # its own: with and without traits the same clips get the same defects
    trait = TRAITS[int(chance.integers(len(TRAITS)))] if chance.uniform() < TRAIT_SHARE else None
    return Job(ref, ref.clip, defect, trait, seed, noise)


def _path(job: Job) -> str:
    match job.defect:
        case "pcm_duplicate":
            suffix = "wav"
        case "reencoded_duplicate":
            suffix = "opus" if job.seed % 2 else "mp3"
        case _:
            suffix = "flac" if job.defect != "truncated" or job.seed % 2 else "wav"
    return f"{job.name}.{suffix}"


def _swapped(facts: list[dict[str, Any]], chosen: list[int]) -> list[dict[str, Any]]:
    """Texts and labels of the chosen clips, moved on by one among those of another text."""
    ordered = sorted(chosen, key=lambda at: str(facts[at]["text"]))
    half = len(ordered) // 2
    changed = list(facts)
    for at, other in zip(ordered, ordered[half:] + ordered[:half], strict=True):
        changed[at] = facts[at] | {name: facts[other][name] for name in ("text", "label")}
    return changed


def kept(project: Path, corpus: str, least_s: float) -> pd.DataFrame:
    """Rows of an audited corpus's manifest that are clean, of at least `least_s`: where a truth table says what is
    spoiled, all others, whatever the audit thinks of them; else those that the audit kept without any flag.
    """
    from allears.corpus.manifest import Manifest
    from allears.storage.files import read_json

    handle = Manifest.from_json(read_json(project / "data/02_intermediate" / corpus / "manifest.json"))
    table = replace(handle, folder=project / handle.folder).frame()
    table = table.assign(root=[str(project / root) for root in table["root"]])  # it counts from the project
    truth = project / "data/01_raw" / corpus / "truth.csv"
    if truth.exists():
        clean = set(table.loc[~table["path"].isin(pd.read_csv(truth)["path"]), "clip"])
    else:
        verdicts = pd.read_parquet(project / "data/03_primary" / corpus / "verdicts.parquet")
        clean = set(verdicts.loc[verdicts["verdict"] == "keep", "clip"])
    long = table["end_s"] - table["start_s"] >= least_s
    return table[table["clip"].isin(clean) & long & table["text"].notna()].reset_index(drop=True)


def calm_noises(folder: Path, least_share: float = 0.5) -> list[Path]:
    """Recordings that sound all the time (rain, sea, engines …), told by their own level: louder than a tenth of their
    loudest frame for `least_share` of the time.
    """
    return [path for path in sorted(folder.rglob("*.ogg")) if _loud_share(path) >= least_share]


def _loud_share(path: Path) -> float:
    audio_T, rate_hz = decode(path)
    frames = np.abs(audio_T[: len(audio_T) // (rate_hz // 50) * (rate_hz // 50)]).reshape(-1, rate_hz // 50).max(axis=1)
    return float(np.mean(frames > 0.1 * frames.max())) if len(frames) and frames.max() > 0 else 0.0
