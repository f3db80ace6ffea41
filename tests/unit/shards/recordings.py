"""A folder of real little recordings in several rates, and its manifest: what the writer reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from allears.corpus.build import write_manifest
from allears.corpus.deliveries import join
from allears.corpus.manifest import COLUMNS, Manifest
from allears.corpus.schema import SCHEMA
from allears.storage.digest import file_digest

RATES = (8_000, 16_000, 44_100)
PIECES_S = 2.0


def make_recordings(folder: Path, *, files: int = 12, seconds: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """A manifest: `files` mono files of different rates, one of four pieces, one of which channel 1 is meant."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = []
    for i in range(files):
        length = seconds * float(random.uniform(0.5, 1.5))
        rows += _file(folder, f"f{i:03d}", RATES[i % len(RATES)], length, 1, random)
    rows += _file(folder, "long", 16_000, 4 * PIECES_S, 1, random, pieces=4)
    rows += _file(folder, "stereo", 16_000, seconds, 2, random)
    return join(None, SCHEMA.validate(pd.DataFrame(rows, columns=list(COLUMNS))))


def as_handle(table: pd.DataFrame, folder: Path) -> Manifest:
    """The table as the catalog has it."""
    return write_manifest(table, folder)


def verdicts_of(table: pd.DataFrame, hard: int = 1, soft: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts and selection: row `hard` may not be in a shard, row `soft` is there and not heard."""
    verdict = ["keep"] * len(table)
    verdict[hard], verdict[soft] = "hard", "soft"
    keep = [one == "keep" for one in verdict]
    verdicts = pd.DataFrame({"clip": table["clip"], "verdict": verdict, "reasons": "", "duplicate_of": None})
    return verdicts, pd.DataFrame({"clip": table["clip"], "keep": keep, "weight": [float(one) for one in keep]})


def _file(
    folder: Path, name: str, rate: int, seconds: float, channels: int, random: np.random.Generator, pieces: int = 1
) -> list[dict[str, object]]:
    path = folder / f"{name}.wav"
    phase = np.cumsum(np.full(int(seconds * rate), 2 * np.pi * random.uniform(100, 800) / rate))
    audio = np.stack([(0.3 + 0.3 * c) * np.sin(phase * (c + 1)) for c in range(channels)], axis=1)
    soundfile.write(path, audio, rate, subtype="PCM_16")
    whole = len(phase) / rate
    shared = dict.fromkeys(COLUMNS) | {
        "source": "here", "root": str(folder), "path": path.name, "channel": 1 if channels > 1 else None,
        "file_sha256": file_digest(path), "file_bytes": path.stat().st_size, "codec": "wav/pcm_16",
        "sample_rate_hz": rate, "channels": channels, "file_duration_s": whole, "text": f"text of {name}",
        "speaker": name[-1], "licence": "CC0-1.0", "split": "train", "split_origin": "carved", "group": name[-1],
    }  # fmt: skip
    edges = np.linspace(0, whole, pieces + 1)
    return [
        shared | {"clip": f"{name}-{i}", "start_s": float(edges[i]), "end_s": float(edges[i + 1])}
        for i in range(pieces)
    ]
