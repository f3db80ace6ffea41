"""How soon an unchanged corpus is recognised: `python tests/benchmark/bench_unchanged.py [--files 100000]`.

Many small recordings that metadata.csv describes, 100 a folder, ingested once and again by `kedro run --pipeline
ingest`, the whole command with its start-up. Promise: the second time ≤ 20 s for 100 k files. On a busy machine the CPU
seconds (of the command and of those it waited for) say more than the wall time. The last row is what is paid when
not all is as it was.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.project import kedro, make_project

PROMISE_S = 20.0
A_FOLDER = 100
SAMPLES = 1_600  # 0.1 s


def recording(file: Path, number: int) -> None:
    """A short recording, whose bytes no other has."""
    samples = np.full(SAMPLES, number % 30_000, dtype=np.int16)
    samples[0] = number // 30_000
    soundfile.write(file, samples, 16_000, subtype="PCM_16")


def make_corpus(root: Path, files: int) -> Path:
    """`files` recordings and the table that describes them."""
    rows = []
    for number in range(files):
        file = root / f"{number // A_FOLDER:05d}" / f"{number:07d}.wav"
        if number % A_FOLDER == 0:
            file.parent.mkdir(parents=True)
        recording(file, number)
        rows.append((file.relative_to(root), f"words {number}", f"s{number // A_FOLDER}"))
    with (root / "metadata.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("file_name", "transcription", "speaker_id"), *rows])
    return root


def timed(project: Path, *arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of `kedro run --pipeline ingest`."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = kedro(project, "run", "--pipeline", "ingest", *arguments, timeout_s=7200.0)
    assert done.returncode == 0, done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall, cpu


def main() -> None:
    """Print the table; exit status 1 when the promise is broken in wall and in CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as temporary:
        corpus = make_corpus(Path(temporary, "corpus"), files)
        project = make_project(Path(temporary, "project"))
        print(f"| ingest of {files:,} files | wall s | CPU s |\n|---|---|---|")
        first = timed(project, "--params", f"corpus=many,ingest.path={corpus},ingest.licence=CC0-1.0")
        print(f"| the first time | {first[0]:.1f} | {first[1]:.1f} |", flush=True)
        again = min(timed(project, "--params", "corpus=many") for _ in range(3))
        print(f"| again, unchanged (best of 3) | {again[0]:.1f} | {again[1]:.1f} |", flush=True)
        recording(corpus / "00000" / "0000000.wav", files)
        more = timed(project, "--params", "corpus=many")
        print(f"| again, one file changed | {more[0]:.1f} | {more[1]:.1f} |")
    print(f"Promise: ≤ {PROMISE_S:g} s for 100,000, unchanged")
    sys.exit(files >= 100_000 and min(again) > PROMISE_S)


if __name__ == "__main__":
    main()
