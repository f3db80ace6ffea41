"""What 100,000 hours would take, from rates measured here: `python tests/benchmark/bench_scale.py`.

Measured on speechocean762 (through ALLEARS_REAL_DATA): what ingest, audit and shard take on these cores beyond what
they take when there is nothing to do, and the bytes of its shards. Measured on a made-up index of MILLIONS clips: its
size, and what reading it takes and holds; of 10 million, what planning an epoch takes (`bench_plan.py`). All of it
grows in proportion to clips or seconds, so the last table multiplies; nobody has run it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.engine.cores import cores
from allears.params.shard import ShardParams
from allears.shards.handle import INDEX, ShardSet
from allears.shards.index import DIGEST, SCHEMA, read_index
from allears.storage.files import read_json
from tests.benchmark import bench_plan
from tests.project import kedro, make_project

REAL = Path(os.environ.get("ALLEARS_REAL_DATA", "/nonexistent"))
STAGES = ("ingest", "audit", "shard")
MILLIONS = 4
CLIP_S = 10.0
RATE_HZ = 16_000
TOLD = f"corpus=so762,ingest.path={REAL / 'speechocean762'},ingest.licence=LicenseRef-speechocean762"


def main() -> None:
    """Print what was measured, then the arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=100_000.0)
    parser.add_argument("--cores", type=int, default=256, help="of the cluster")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make or given.read:
        print(*(reading(given.read) if given.read else [made_up_index(given.make)]))
        return
    if not REAL.is_dir():
        raise SystemExit("ALLEARS_REAL_DATA names no folder of real recordings")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_project(folder / "project")
        spent_s = {stage: beyond_nothing(folder / "project", stage) for stage in STAGES}
        shards = ShardSet.from_json(read_json(folder / "project/data/05_model_input/so762/shards.json"))
        size = sum(tar.stat().st_size for tar in (folder / "project" / shards.folder).glob("*.tar"))
        (index_bytes,) = numbers_of(__file__, "--make", str(folder / "index"))
        read_s, held_gb, most_gb = (each / MILLIONS for each in numbers_of(__file__, "--read", str(folder / "index")))
        plan_s, plan_gb = (each / 10 for each in numbers_of(bench_plan.__file__, "millions"))
    hours = shards.seconds / 3600
    core_s = {stage: seconds * cores() / hours for stage, seconds in spent_s.items()}
    print(f"| measured, {cores()} cores | |\n|---|---|")
    for stage, seconds in core_s.items():
        print(f"| {stage}, core seconds for an hour of audio | {seconds:.1f} |")
    print(f"| shards, MB for an hour of audio | {size / hours / 1e6:.1f} |")
    print(f"| index, MB for a million clips | {index_bytes / MILLIONS / 1e6:.0f} |")
    print(f"| reading the index, for a million clips | {read_s:.1f} s, holds {held_gb:.2f} GB, {most_gb:.2f} at most |")
    print(f"| planning an epoch, for a million clips | {plan_s:.1f} s, {plan_gb:.2f} GB |")
    clips = given.hours * 3600 / CLIP_S / 1e6
    bytes_all = size / hours * given.hours
    days = {stage: seconds * given.hours / given.cores / 86_400 for stage, seconds in core_s.items()}
    print(f"\n| {given.hours:,.0f} h in {clips:.0f} M clips of {CLIP_S:.0f} s, {given.cores} cores | |\n|---|---|")
    print(f"| {', '.join(STAGES)}, days | {', '.join(f'{each:.2f}' for each in days.values())} |")
    print(f"| shards | {bytes_all / 1e12:.1f} TB in {bytes_all / ShardParams().target_mb / 1e6:,.0f} tars |")
    print(f"| index | {index_bytes / MILLIONS * clips / 1e9:.1f} GB |")
    print(f"| each training process: index | {read_s * clips:.0f} s, holds {held_gb * clips:.1f} GB |")
    print(f"| … and the plan of an epoch | {plan_s * clips:.0f} s, {plan_gb * clips:.1f} GB while it is made |")


def numbers_of(script: str, *arguments: str) -> list[float]:
    """What a script prints in a process of its own, so that its peak of memory is its own (and not that of this one,
    which a child inherits: this one must stay small).
    """
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    return [float(each) for each in done.stdout.split()]


def beyond_nothing(project: Path, stage: str) -> float:
    """Seconds that a stage takes, without those that it takes when all is up to date."""
    took = []
    for _ in range(2):
        before = time.perf_counter()
        done = kedro(project, "run", "--pipeline", stage, "--params", TOLD, timeout_s=1800.0)
        took.append(time.perf_counter() - before)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return took[0] - took[1]


def made_up_index(folder: Path) -> int:
    """An index of MILLIONS clips in tars of 3,000; its bytes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    clips = MILLIONS * 1_000_000
    digests = [hashlib.sha256(number.to_bytes(8)).hexdigest() for number in range(clips)]
    samples_N = rng.integers(2 * RATE_HZ, round(2 * (CLIP_S - 1) * RATE_HZ), clips)
    length_N = samples_N * 11 // 10
    columns = {
        "clip": [f"utterance-{digest[:10]}" for digest in digests],
        "shard": [f"corpus-{number // 3_000:06d}.tar" for number in range(clips)],
        "offset": np.cumsum(length_N) - length_N, "length": length_N, "samples": samples_N,
        "sample_rate_hz": np.full(clips, RATE_HZ), "sha256": digests, "pcm_sha256": digests[::-1],
    }  # fmt: skip
    table = pa.table(columns, schema=SCHEMA.with_metadata({DIGEST: b"made up"}))
    pq.write_table(table, folder / INDEX, compression="zstd")
    return (folder / INDEX).stat().st_size


def reading(folder: Path) -> tuple[float, float, float]:
    """Seconds of reading the index; GB that it holds, and takes at most."""
    began, gb = time.perf_counter(), resident_gb()
    index = read_index(ShardSet(folder, "made up", 0, 0.0, RATE_HZ))
    took_s = time.perf_counter() - began
    pa.default_memory_pool().release_unused()
    held_gb, most_gb = resident_gb() - gb, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 - gb
    assert len(index.clips) == MILLIONS * 1_000_000
    return took_s, held_gb, most_gb


def resident_gb() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


if __name__ == "__main__":
    main()
