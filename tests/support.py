"""Small real things for tests: shards of synthetic voices, with everything that a corpus may know of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from allears.shards.handle import ShardSet
from allears.shards.index import join_parts, write_part
from allears.shards.tar import Sound, write_tar
from allears.storage.files import write_json

RATE_HZ = 16_000
WORDS = {"low": 1.0, "mid": 2.2, "high": 4.5}  # label → how much higher than the voice its formant lies
DIGITS = ("one", "two", "three", "four", "five")
SPEAKERS = 10


def make_shards(
    folder: Path, *, clips: int = 60, seconds: float = 1.0, seed: int = 0, shards: int = 2
) -> tuple[ShardSet, Path]:
    """`clips` clips of 0.5 to 1.5 × `seconds` in `folder`, and their table.

    Ten speakers (each a pitch): 0-6 train, 7 dev, 8-9 test. A clip's label is the formant of its tone (learnable), its
    text the label and a digit. `folder/shards.json` holds the handle, `folder/clips.parquet` the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows, sounds = [], []
    for i in range(clips):
        speaker, label = i % SPEAKERS, list(WORDS)[(i // SPEAKERS) % len(WORDS)]
        length = int(RATE_HZ * seconds * random.uniform(0.5, 1.5))
        name = f"clip-{i:04d}"
        sounds.append(Sound(name, _voice(speaker, label, length, random), {"label": label}))
        rows.append(_row(name, speaker, label, i, length))
    parts = []
    for number, chosen in enumerate(np.array_split(np.arange(clips), shards)):
        tar = folder / f"synthetic-{number:06d}.tar"
        parts.append(folder / f"part-{number}.parquet")
        write_part(parts[-1], write_tar(tar, [sounds[int(i)] for i in chosen], RATE_HZ))
    shard_set = join_parts(folder, parts)
    for part in parts:
        part.unlink()
    write_json(folder / "shards.json", shard_set.to_json())
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), folder / "clips.parquet")
    return shard_set, folder / "clips.parquet"


def sounds_of(clips: int, *, seconds: float = 1.0, seed: int = 0, name: str = "clip") -> list[Sound]:
    """`clips` voices of 0.5 to 1.5 × `seconds`."""
    random = np.random.default_rng(seed)
    lengths = (RATE_HZ * seconds * random.uniform(0.5, 1.5, clips)).astype(int).tolist()
    return [
        Sound(f"{name}-{i:04d}", _voice(i, "mid", length, random), {"text": f"text of {i}"})
        for i, length in enumerate(lengths)
    ]


def _voice(speaker: int, label: str, length: int, random: np.random.Generator) -> np.ndarray:
    """A gliding tone at the speaker's pitch with a resonance at the label's place, over faint noise."""
    pitch_hz = 110.0 * 1.08**speaker
    phase_T = np.cumsum(2 * np.pi * pitch_hz * (1 + 0.1 * np.linspace(-1, 1, length)) / RATE_HZ)
    tone_T = 0.3 * np.sin(phase_T) + 0.3 * np.sin(phase_T * WORDS[label] * 3)
    return np.asarray(tone_T + 0.02 * random.standard_normal(length), dtype=np.float32)


def _row(name: str, speaker: int, label: str, i: int, length: int) -> dict[str, object]:
    return {
        "clip": name,
        "split": "train" if speaker < 7 else "dev" if speaker == 7 else "test",
        "speaker": f"speaker-{speaker}",
        "group": f"speaker-{speaker}",
        "session": None,
        "text": f"{label} {DIGITS[i % 5]}",
        "label": label,
        "language": "en",
        "accent": None,
        "gender": "female" if speaker % 2 else "male",
        "age": str(20 + 5 * speaker),
        "attributes": None,
        "licence": "CC0-1.0",
        "keep": True,
        "weight": 1.0,
        "samples": length,
    }


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in (
        "clip", "split", "speaker", "group", "session", "text", "label", "language", "accent", "gender", "age",
        "attributes", "licence",
    )] + [("keep", pa.bool_()), ("weight", pa.float64()), ("samples", pa.int64())]
)  # fmt: skip
