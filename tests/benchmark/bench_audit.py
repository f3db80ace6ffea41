"""What listening to a corpus costs against one ffmpeg process a clip: `python tests/benchmark/bench_audit.py`.

Ratios of wall time on the same cores, in one run:
- short clips: reading headers and digests and decoding, then the whole audit's worker (every measure), against
  `ffmpeg -i CLIP -f f32le -` for each clip, as many at a time as there are cores. Formats: the recordings of fsdd
  (8 kHz wav) and speechocean762 (16 kHz Opus) as they are, and speechocean762 as wav, flac, mp3 and m4a. Promise:
  ingest + decode ≥ 5 × where libsndfile reads the format, the audit ≥ 2 ×.
- a long file: all its 30 s pieces, against bare ffmpeg decoding it once, one core each. Promise: ≥ 0.9.
- memory: the most that a worker holds (peak RSS) while it decodes and measures a long recording as one clip. Promise:
  ≤ 1 GB, whatever is admitted.
The profile says which measure binds. Needs ALLEARS_REAL_DATA.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audio import ffmpeg
from allears.audio.decode import MAX_CLIP_BYTES, header
from allears.audio.measures import MeasureSpec
from allears.audit.clip import measure_clips, work_key
from allears.corpus.clips import ClipRef, Recording
from allears.corpus.opening import batches, decoded_clips
from allears.corpus.probe import probe_files
from allears.engine.cores import cores
from allears.engine.mapping import map_batches

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
CLIPS = 800
LONG_S = 3600
LONGEST_S = MAX_CLIP_BYTES // (2 * 4 * 48_000)
LONG_CLIPS = ((600, 1, 44_100), (1_500, 2, 44_100), (2_700, 1, 44_100), (3_600, 1, 16_000), (LONGEST_S, 2, 48_000))
CODECS: dict[str, dict[str, Any]] = {
    "wav": {"acodec": "pcm_s16le"}, "flac": {"acodec": "flac"}, "mp3": {"acodec": "libmp3lame", "b:a": "64k"},
    "m4a": {"acodec": "aac", "b:a": "64k"},
}  # fmt: skip


def main() -> None:
    """Print the tables."""
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    spec = default_spec()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print("| clips | seconds | one ffmpeg process a clip | ingest + decode | whole audit | × | × |")
        print("|---|---|---|---|---|---|---|")
        opus = sorted((REAL / "speechocean762").rglob("*.opus"))[:CLIPS]
        short("fsdd, wav 8 kHz", sorted((REAL / "fsdd").rglob("*.wav"))[:CLIPS], folder, spec)
        short("speechocean762, opus", opus, folder, spec)
        for name, codec in CODECS.items():
            short(f"speechocean762, {name}", converted(opus, folder / name, name, codec), folder, spec)
        print("\n| one hour in one file | bare ffmpeg | all its pieces | ratio |\n|---|---|---|---|")
        for name in ("wav", "mp3", "m4a"):
            long(name, opus, folder)
        print("\n| one clip, 16-bit wav | its samples | peak RSS of the worker |\n|---|---|---|")
        for seconds, channels, rate_hz in LONG_CLIPS:
            memory(seconds, channels, rate_hz, folder, spec)
        profile(opus[:200], spec)


def default_spec() -> MeasureSpec:
    """What the audit measures by default. It imports here what a worker, which imports this script, does not need."""
    from allears.params.audit import AuditParams
    from allears.pipelines.audit.nodes import measure_spec

    return measure_spec(AuditParams().measures)


def short(name: str, files: Sequence[Path], folder: Path, spec: MeasureSpec) -> None:
    """One row: seconds of wall time, and how many times faster than a process a clip."""
    refs = [ClipRef(path.stem, str(path), "0" * 64, None, 0.0, None) for path in files]
    total_s = sum(header(path).duration_s for path in files)
    run = partial(_mapped, refs=refs, folder=folder, spec=spec)
    took = best(
        {
            "ffmpeg": lambda: process_a_clip(files),
            "decode": lambda: (probe_files([Recording(path) for path in files], fresh(folder)), run(decode_only)),
            "audit": lambda: run(partial(measure_clips, spec=spec)),
        }
    )
    ratios = f"{took['ffmpeg'] / took['decode']:.1f} | {took['ffmpeg'] / took['audit']:.1f}"
    cells = " | ".join(f"{took[key]:.2f} s ({total_s / took[key]:,.0f} × real time)" for key in took)
    print(f"| {name}, {len(files)} | {total_s:,.0f} | {cells} | {ratios} |", flush=True)


def long(form: str, clips: Sequence[Path], folder: Path) -> None:
    """One row: an hour in one file, decoded bare and as pointers of 30 s, both by one process."""
    path = folder / f"long.{form}"
    listing = folder / "long.txt"
    listing.write_text("".join(f"file '{clip}'\n" for clip in clips * 4))
    command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listing)]
    subprocess.run([*command, "-t", str(LONG_S), "-acodec", str(CODECS[form]["acodec"]), str(path)], check=True)
    refs = [ClipRef(f"p{at}", str(path), "0" * 64, None, at, at + 30.0) for at in range(0, LONG_S, 30)]
    bare, ours = best(
        {
            "bare": lambda: process_a_clip([path]),
            "pieces": lambda: [list(decode_only(batch)) for batch in batches(refs)],
        }
    ).values()
    print(f"| {form} | {bare:.2f} s | {ours:.2f} s | {bare / ours:.2f} |", flush=True)


def memory(seconds: int, channels: int, rate_hz: int, folder: Path, spec: MeasureSpec) -> None:
    """One row: noise of that length, measured by a worker of its own."""
    path = folder / "noise.wav"
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate_hz, channels, "PCM_16") as file:
        for _ in range(seconds):
            file.write(0.05 * rng.standard_normal((rate_hz, channels), dtype=np.float32))
    ref = ClipRef("noise", str(path), "0" * 64, None, 0.0, None)
    work = partial(peak_of, spec=spec)
    [found] = map_batches(work, [ref], key=str, journal=fresh(folder), title="", batches=batches, workers=1)
    assert found.reason is None, found.message
    name, held_mb = f"{seconds / 60:.0f} min, {channels} × {rate_hz:,} Hz", seconds * rate_hz * channels * 4 / 1e6
    print(f"| {name} | {held_mb:,.0f} MB | {found.result / 1e6:,.0f} MB |", flush=True)


def peak_of(refs: Sequence[ClipRef], spec: MeasureSpec) -> Iterator[tuple[ClipRef, int]]:
    """In a worker: the bytes that it held at most, after each clip."""
    for ref, measured in measure_clips(refs, spec):
        assert isinstance(measured, dict), measured
        yield ref, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def profile(files: Sequence[Path], spec: MeasureSpec) -> None:
    """Where the worker's time goes, a clip."""
    refs = [ClipRef(path.stem, str(path), "0" * 64, None, 0.0, None) for path in files]
    profiler = cProfile.Profile()
    profiler.runcall(lambda: list(measure_clips(refs, spec)))
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    ours = {
        f"{Path(file).stem}.{name}": cumulative for (file, _, name), (_, _, _, cumulative, _) in stats.items()
        if "/allears/audio/" in file and not name.startswith(("_", "<"))
    }  # fmt: skip
    print("\n| in the worker | ms a clip |\n|---|---|")
    for name, seconds in sorted(ours.items(), key=lambda pair: -pair[1])[:16]:
        print(f"| {name} | {1000 * seconds / len(files):.2f} |")


def decode_only(refs: Sequence[ClipRef]) -> Iterator[tuple[ClipRef, Any]]:
    """Decode and let go."""
    for ref, decoded in decoded_clips(refs):
        yield ref, len(decoded[0]) if isinstance(decoded, tuple) else decoded


def process_a_clip(files: Sequence[Path]) -> None:
    """The baseline: a process of bare ffmpeg for each file."""
    with ThreadPoolExecutor(cores()) as pool:
        for done in pool.map(_bare, files):
            assert done.returncode == 0, done


def _bare(path: Path) -> subprocess.CompletedProcess[bytes]:
    command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-threads", "1", "-i", str(path), "-f", "f32le", "-"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False)


def _mapped(function: Any, refs: list[ClipRef], folder: Path, spec: MeasureSpec) -> None:
    key = partial(work_key, spec=spec)
    refs = [ref._replace(file_sha256=ref.clip) for ref in refs]
    found = map_batches(function, refs, key=key, journal=fresh(folder), title="", batches=batches)
    assert all(outcome.reason is None for outcome in found)


def fresh(folder: Path) -> Path:
    """A journal that is not there yet."""
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    return path


def best(sides: dict[str, Callable[[], object]], rounds: int = 2) -> dict[str, float]:
    """Wall seconds, the sides in turn, the best round of each."""
    found = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, side in sides.items():
            before = time.perf_counter()
            side()
            found[name] = min(found[name], time.perf_counter() - before)
    return found


def converted(clips: Sequence[Path], folder: Path, form: str, codec: dict[str, Any]) -> list[Path]:
    """The clips in another format."""
    folder.mkdir()
    targets = [folder / f"{clip.stem}.{form}" for clip in clips]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda pair: ffmpeg.convert(*pair, codec), zip(clips, targets, strict=True)))
    return targets


if __name__ == "__main__":
    main()
