"""Small corpora that name spans and channels, and the manifest that is made of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from allears.audio.decode import decode
from allears.corpus.build import Built, build
from allears.corpus.listing import Source, read_listing, recordings_of
from allears.corpus.probe import probe_files
from allears.params.ingest import IngestParams

RATE_HZ = 8_000
LEFT_HZ, RIGHT_HZ = 500.0, 1_500.0


def tones(path: Path, seconds: float, *hz: float) -> None:
    """A recording with a tone in each channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_T = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    audio_TC = np.stack([0.3 * np.sin(2 * np.pi * each * time_T) for each in hz], axis=1)
    soundfile.write(path, audio_TC, RATE_HZ)


def lines(path: Path, *records: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def tables(root: Path, **contents: str) -> None:
    for name, content in contents.items():
        (root / name.replace("wav_scp", "wav.scp")).write_text(content)


def made(root: Path, layout: str, **params: Any) -> Built:
    source = Source(name="s", root=root, layout=layout, why="", licence="CC0-1.0", label=None)  # type: ignore[arg-type]
    listing = read_listing([source], None)
    usable = recordings_of(listing[listing["reason"].isna()])
    return build(listing, probe_files(usable, root.parent / "probe.jsonl", workers=1), IngestParams(**params))


def times(built: Built) -> list[tuple[float, float]]:
    return sorted(built.clips[["start_s", "end_s"]].itertuples(index=False, name=None))


def heard_hz(built: Built) -> dict[str, float | None]:
    """Text of each clip and the strongest frequency of its audio, None where both tones are in it."""
    found: dict[str, float | None] = {}
    for clip in built.clips.itertuples():
        channel = None if pd.isna(clip.channel) else int(clip.channel)
        audio_T, rate_hz = decode(Path(clip.root) / clip.path, clip.start_s, clip.end_s, channel)
        spectrum_F = np.abs(np.fft.rfft(audio_T))
        levels = [spectrum_F[round(hz * len(audio_T) / rate_hz)] for hz in (LEFT_HZ, RIGHT_HZ)]
        one = max(levels) > 10 * min(levels)
        found[clip.text] = (LEFT_HZ, RIGHT_HZ)[int(np.argmax(levels))] if one else None
    return found
