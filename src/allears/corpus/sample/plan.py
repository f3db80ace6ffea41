"""What the sample holds: a pure function of its parameters. Nothing is synthesised here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from allears.corpus.sample.clips import Clip, Format, Maker, Planted, Sound
from allears.corpus.sample.defects import plant
from allears.corpus.sample.sentences import LABELS, sentence
from allears.params.ingest import SampleParams
from allears.types import Split

MEAN_CLIP_S = 1.65  # of speech, measured: turns minutes into clips
SOUND_S = 6.0
SOUND_SHARE = 0.12  # of the minutes
DOMINANT = "us"  # one accent with most of the hours is a planted defect
_FORMATS: tuple[tuple[Format, float, tuple[int, ...]], ...] = (  # share, sample rates
    ("wav", 0.38, (8_000, 16_000, 22_050, 44_100, 48_000)),
    ("flac", 0.27, (16_000, 48_000)),
    ("opus", 0.13, (16_000, 48_000)),
    ("mp3", 0.13, (22_050, 44_100)),
    ("m4a", 0.09, (16_000, 44_100)),
)
_STEREO_SHARE = 0.12
_SPEAKER_SPLITS: tuple[Split, ...] = (
    "train", "test", "train", "train", "test", "train", "train", "test", "train", "dev",
)  # fmt: skip
_SOUND_SPLITS: tuple[Split, ...] = ("train", "test", "train", "dev")


@dataclass(frozen=True, slots=True)
class Accent:
    """How a language is spoken: espeak-ng's voice, its share of the speakers, clips relative to other speakers."""

    name: str
    language: str
    voice: str
    share: float
    clips: float = 1.0


ACCENTS = (
    Accent(DOMINANT, "en", "en-us", 0.44, 1.7),
    Accent("gb", "en", "en-gb-x-rp", 0.17),
    Accent("de", "de", "de", 0.14),
    Accent("es", "es", "es", 0.11),
    Accent("fr", "fr", "fr", 0.08),
    Accent("ru", "ru", "ru", 0.06),
)
_VARIANTS = {  # none with `breath`: espeak-ng then reads memory that it never wrote, and no two runs agree
    "female": ("f1", "f4", "linda", "anika", "steph", "belinda", "Andrea", "steph2", "Annie", "steph3", "aunty"),
    "male": ("m1", "m2", "m3", "m4", "m6", "m7", "m8", "antonio", "michel", "travis", "miguel", "croak"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be made, and what is wrong with it."""

    makers: tuple[Maker, ...]
    truth: tuple[Planted, ...]

    def rows(self) -> list[dict[str, Any]]:
        """The lines of `metadata.csv`."""
        return [
            {
                "file_name": clip.path, "text": clip.text, "label": clip.label, "language": maker.language,
                "accent": maker.accent, "gender": maker.gender, "speaker": None if maker.sound else maker.name,
                "session": clip.session, "licence": clip.licence, "split": clip.split, "kind": maker.sound or "speech",
            }
            for maker in self.makers
            for clip in maker.clips
        ]  # fmt: skip


def make_plan(params: SampleParams) -> Plan:
    """Speakers, sounds and defects for `params`."""
    speakers, truth = plant(_with_video(_speakers(params)), minutes=params.minutes, seed=params.seed)
    sounds = [_sound(kind, params) for kind in get_args(Sound)]
    return Plan((*speakers, *sounds), truth)


def _speakers(params: SampleParams) -> list[Maker]:
    counts = _shared_out(params.speakers, [accent.share for accent in ACCENTS])
    weight = sum(count * accent.clips for count, accent in zip(counts, ACCENTS, strict=True))
    clips = params.minutes * 60 * (1 - SOUND_SHARE) / MEAN_CLIP_S / weight
    speakers: list[Maker] = []
    for accent, count in zip(ACCENTS, counts, strict=True):
        for number in range(count):
            wanted = max(4, round(clips * accent.clips))
            speakers.append(_speaker(accent, number, len(speakers), wanted, params.seed))
    return speakers


def _speaker(accent: Accent, number: int, index: int, clips: int, seed: int) -> Maker:
    rng = np.random.default_rng([seed, index])
    gender = ("female", "male")[number % 2]
    variant = _VARIANTS[gender][number // 2 % len(_VARIANTS[gender])]
    name = f"{accent.name}-{number + 1:02d}"
    order = [LABELS[i] for _ in range(clips // len(LABELS) + 1) for i in rng.permutation(len(LABELS))]
    made = []
    for i in range(clips):
        session = f"{name}-s{1 + (2 * i) // clips}"
        text = sentence(accent.language, order[i], rng)
        made.append(_clip(f"speech/{name}/{name}-{i:03d}", rng, _split(index), session, text, order[i]))
    return Maker(
        name=name, clips=tuple(made), language=accent.language, accent=accent.name,
        gender=gender if index % 9 != 4 else None,  # some do not say
        voice=f"{accent.voice}+{variant}", pitch=int(rng.integers(30, 70)), rate=int(rng.integers(125, 185)),
        range=int(rng.integers(30, 70)), warp=float(rng.uniform(0.92, 1.1)), snr_db=float(rng.uniform(20, 36)),
    )  # fmt: skip


def _sound(kind: Sound, params: SampleParams) -> Maker:
    count = max(1, round(params.minutes * 60 * SOUND_SHARE / SOUND_S / 5))
    rng = np.random.default_rng([params.seed, 1_000_000, len(kind), ord(kind[0])])
    clips = []
    for i in range(count):
        session = f"{kind}-{1 + i // 3}"  # recorded in one go, so they stay together
        split = _SOUND_SPLITS[i // 3 % len(_SOUND_SPLITS)]
        clips.append(_clip(f"sounds/{kind}-{i:03d}", rng, split, session, None, None))
    return Maker(name=kind, clips=tuple(clips), sound=kind)


def _clip(stem: str, rng: np.random.Generator, split: Split, session: str, text: str | None, label: str | None) -> Clip:
    shares = np.array([share for _, share, _ in _FORMATS])
    form, _, rates = _FORMATS[int(rng.choice(len(_FORMATS), p=shares / shares.sum()))]
    return Clip(
        path=f"{stem}.{form}", format=form, rate_hz=int(rng.choice(rates)), seed=int(rng.integers(2**31)),
        channels=2 if rng.random() < _STEREO_SHARE else 1, split=split, session=session, spoken=text, text=text,
        label=label,
    )  # fmt: skip


def _with_video(speakers: list[Maker]) -> list[Maker]:
    """The first clip of the first speaker becomes a video."""
    first = speakers[0]
    clip = first.clips[0]
    stem = clip.path.rpartition(".")[0]
    film = replace(clip, path=f"{stem}.mp4", format="mp4", rate_hz=44_100, channels=2)
    return [replace(first, clips=(film, *first.clips[1:])), *speakers[1:]]


def _split(index: int) -> Split:
    """Of ten speakers in a row three are for testing and one for choosing, so every accent has some."""
    return _SPEAKER_SPLITS[index % len(_SPEAKER_SPLITS)]


def _shared_out(total: int, shares: list[float]) -> list[int]:
    """`total` in whole parts close to `shares`, at least one each, by largest remainder."""
    exact = [total * share / sum(shares) for share in shares]
    counts = [max(1, int(value)) for value in exact]
    order = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for i in range(max(total - sum(counts), 0)):
        counts[order[i % len(order)]] += 1
    while sum(counts) > total:
        counts[counts.index(max(counts))] -= 1
    return counts
