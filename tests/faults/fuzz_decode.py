"""Mutated recordings of every codec through the worker functions of ingest and audit: nothing may crash, hang or leak.

python -m tests.faults.fuzz_decode [FILES] [SEED]      prints a table in Markdown; exit status 1 when something did
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from allears.audio import ffmpeg
from allears.audio.measures import MeasureSpec
from allears.audit.measuring import measure_all
from allears.corpus.clips import ClipRef, Recording
from allears.corpus.probe import probe_files
from allears.errors import AudioError
from allears.params.audit import MeasureParams
from allears.params.ingest import IngestParams
from tests.faults.watch import Watch

FILES = 5_000
TIMEOUT_S = 20.0
HEADER = 4096
RATE = 16_000
GROWN_MB = 64.0  # a worker that grows by more from the second to the last quarter of a run leaks
CRASHES = ("worker_died", "timeout", "failed", "memory")
LIBSNDFILE = (
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_U8"), ("wav", "FLOAT"), ("wav", "DOUBLE"), ("wav", "ULAW"),
    ("wav", "ALAW"), ("wav", "IMA_ADPCM"), ("wav", "MS_ADPCM"), ("wav", "GSM610"), ("wavex", "PCM_16"),
    ("w64", "PCM_16"), ("rf64", "PCM_16"), ("aiff", "PCM_16"), ("aiff", "FLOAT"), ("au", "PCM_16"), ("au", "ULAW"),
    ("caf", "PCM_16"),
    ("caf", "ALAC_16"), ("flac", "PCM_16"), ("flac", "PCM_24"), ("ogg", "VORBIS"), ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"), ("nist", "PCM_16"), ("voc", "PCM_16"), ("ircam", "PCM_16"), ("svx", "PCM_16"),
)  # fmt: skip
FFMPEG: dict[str, dict[str, Any]] = {
    "m4a": {"acodec": "aac"}, "aac": {"acodec": "aac"}, "alac.m4a": {"acodec": "alac"}, "webm": {"acodec": "libopus"},
    "mka": {"acodec": "libvorbis"}, "ac3": {"acodec": "ac3"}, "eac3": {"acodec": "eac3"}, "wma": {"acodec": "wmav2"},
    "mp2": {"acodec": "mp2"}, "tta": {"acodec": "tta"}, "wv": {"acodec": "wavpack"}, "flac.mkv": {"acodec": "flac"},
    "mp3.avi": {"acodec": "libmp3lame"}, "flv": {"acodec": "libmp3lame", "ar": 22050},
    "ts": {"acodec": "aac", "f": "mpegts"},
    "flac.ogg": {"acodec": "flac", "f": "ogg"}, "nut": {"acodec": "pcm_s16le"}, "mov": {"acodec": "pcm_s16le"},
    "amr": {"acodec": "libopencore_amrnb", "ar": 8000}, "3gp": {"acodec": "libopencore_amrnb", "ar": 8000},
    "dts": {"acodec": "dca", "strict": -2, "ar": 48000}, "adx": {"acodec": "adpcm_adx"}, "g722.wav": {"acodec": "g722"},
}  # fmt: skip
EXTREMES = tuple(
    value.to_bytes(size, order)  # type: ignore[arg-type]
    for size in (2, 4, 8)
    for order in ("little", "big")
    for value in (0, 1, (1 << (8 * size - 1)) - 1, 1 << (8 * size - 1), (1 << 8 * size) - 1)
)


def seeds(folder: Path) -> dict[str, bytes]:
    """A second of a voice-like noise in each codec that can be written here."""
    rng = np.random.default_rng(0)
    source = folder / "source.wav"
    time_T = np.arange(RATE) / RATE
    audio = 0.2 * np.sin(2 * np.pi * 220 * time_T * (1 + time_T)) + rng.normal(0, 0.03, RATE)
    soundfile.write(source, audio, RATE)
    found = {}
    for kind, subtype in LIBSNDFILE:
        path = folder / f"{subtype.lower()}.{kind}"
        soundfile.write(path, audio, RATE, format=kind.upper(), subtype=subtype)
        found[path.name] = path.read_bytes()
    for name, options in FFMPEG.items():
        path = folder / f"ffmpeg.{name}"
        try:
            ffmpeg.convert(source, path, options)
        except AudioError as error:
            print(f"no seed of {name}: {error}", file=sys.stderr)
            continue
        found[path.name] = path.read_bytes()
    ffmpeg.convert(source, folder / "video.mp4", {"acodec": "aac"}, picture_s=1.0)
    return found | {"video.mp4": (folder / "video.mp4").read_bytes()}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` spoiled in one to eight places, mostly in its first HEADER bytes (or its last, where mp4 has its own)."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if len(out) < 16:
            break
        span = min(len(out), HEADER)
        place = int(rng.integers(span) if rng.random() < 0.7 else len(out) - 1 - rng.integers(span))
        match int(rng.integers(7)):
            case 0:
                out[place] ^= 1 << int(rng.integers(8))
            case 1:
                out[place] = int(rng.integers(256))
            case 2 | 3:
                value = EXTREMES[int(rng.integers(len(EXTREMES)))]
                out[place : place + len(value)] = value
            case 4:
                del out[place : place + int(rng.integers(1, 64))]
            case 5:
                out[place:place] = rng.bytes(int(rng.integers(1, 64)))
            case _:
                del out[max(place, int(rng.integers(len(out)))) :]
    return bytes(out) or b"\0"


def refs_of(corpus: Path, names: list[str], facts: dict[Recording, Any]) -> Iterator[ClipRef]:
    """Each file that ingest would keep as a clip: whole, and if it is long the last piece that ingest cuts of it."""
    longest = IngestParams().segment_max_s
    for name in names:
        known = facts[Recording(corpus / name)]
        if known.reason is None:
            yield ClipRef(name, str(corpus / name), known.sha256, None, 0.0, None, None, known.bytes)
            if known.duration_s > longest:
                start = max(known.duration_s - longest, 0.0)
                yield ClipRef(f"{name} end", str(corpus / name), known.sha256, None, start, None, None, known.bytes)


def temporary() -> set[str]:
    """What lies in the folder of temporary files."""
    return set(os.listdir(tempfile.gettempdir()))  # noqa: PTH208


def write(folder: Path, count: int, seed: int) -> list[str]:
    """`count` mutated recordings in `folder/corpus`; their names."""
    rng = np.random.default_rng(seed)
    for name in ("seeds", "corpus"):
        (folder / name).mkdir()
    originals = list(seeds(folder / "seeds").items())
    names = []
    for i in range(count):
        name, data = originals[i % len(originals)]
        names.append(f"{i:05d}-{name}")
        (folder / "corpus" / names[-1]).write_bytes(mutated(data, rng))
    return names


def work(folder: Path, names: list[str]) -> tuple[Counter[str], list[str]]:
    """How the recordings ended, and what is said of those that should not have ended so."""
    params = MeasureParams()
    spec = MeasureSpec(**{name: getattr(params, name) for name in MeasureSpec.__dataclass_fields__})
    facts = probe_files([Recording(folder / "corpus" / name) for name in names], folder / "probe.jsonl")
    refs = list(refs_of(folder / "corpus", names, facts))
    table = measure_all(refs, spec, folder / "measures.jsonl", timeout_s=TIMEOUT_S, workers=None)
    ended = Counter(f"ingest: {known.reason}" for known in facts.values() if known.reason)
    ended.update(f"audit: {reason}" for reason in table["failed_reason"].dropna())
    ended["measured"] = int(table["failed_reason"].isna().sum())
    said = [f"{known.reason}: {known.message}" for known in facts.values() if known.reason in CRASHES]
    bad = table[table["failed_reason"].isin(CRASHES)]
    return ended, said + (bad["clip"] + " " + bad["failed_reason"] + ": " + bad["failed_message"]).to_list()


def main() -> int:
    count, seed = [int(each) for each in sys.argv[1:]] + [FILES, 0][len(sys.argv) - 1 :]
    with tempfile.TemporaryDirectory(prefix="allears-fuzz-") as text:
        names = write(Path(text), count, seed)
        before, start = temporary(), time.monotonic()
        with Watch() as watch:
            ended, said = work(Path(text), names)
        ffmpegs = [each for each in psutil.Process().children(recursive=True) if "ffmpeg" in each.name()]
        left = [name for name in temporary() - before if name.startswith("allears")]
    kinds = len({name.partition("-")[2] for name in names})
    print(f"| {count} mutated files of {kinds} kinds, seed {seed} | |\n|---|---|")
    for name, n in ended.most_common():
        print(f"| {name} | {n} |")
    print(f"| **crashed, hung, unforeseen** | {len(said)} |")
    print(f"| a worker's memory: at most, growth | {watch.most_mb:.0f} MB, {watch.grown_mb():.0f} MB |")
    print(f"| ffmpeg processes and temporary files left | {len(ffmpegs)}, {len(left)} |")
    print(f"| seconds | {time.monotonic() - start:.0f} |")
    print(*said, sep="\n", file=sys.stderr)
    return int(bool(said or ffmpegs or left or watch.grown_mb() > GROWN_MB))


if __name__ == "__main__":
    sys.exit(main())
