"""How the search for duplicates grows: time, memory and recall at 10, 30 and 100 thousand clips.

Run `ALLEARS_REAL_DATA=FOLDER python tests/benchmark/bench_duplicates.py [CLIPS …]`. The clips' fingerprints are real
ones cut into quarters and put together anew, each quarter at its place, so that their bits are as unequal and as
dependent as real ones; copies of 1 % of them with 5 to 18 % of the bits changed are planted. By chance a few are made
of three equal quarters, and are alike too. The whole of `duplicates.find` is measured, with tables as the audit has
them. CPU seconds, so that a busy machine changes little.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.audio import fingerprint as fp
from allears.audit.duplicates import find
from allears.params.audit import DuplicateParams
from tests.audit_tables import agree
from tests.benchmark.real_sounds import files, words

SIZES = (10_000, 30_000, 100_000)
MIXES = {"speech, all of 30 s": ("speech", 30.0, 30.0), "speech of 1 to 15 s": ("speech", 1.0, 15.0)}
MIXES |= {"digits and sounds, all of 5 s": ("other", 5.0, 5.0)}
SHARES = (0.05, 0.10, 0.15, 0.18)
TARGET = 1_000_000


def main() -> None:
    """Print a table a mix, and what the growth comes to at a million."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    chosen = {name: np.array([words(f) for f in some]) for name, some in _some().items()}
    real = {"speech": chosen["speech"], "other": np.concatenate([chosen["digits"], chosen["sounds"]])}
    print(f"numpy {np.__version__}, pandas {pd.__version__}, {platform.processor() or platform.machine()}", end=", ")
    print(f"{os.cpu_count()} cores (the search uses one)")
    for title, (corpus, shortest_s, longest_s) in MIXES.items():
        print(f"\n{title}: chance that two clips agree in 16 bits: {_agreement(real[corpus])}")
        print(f"| clips | CPU s | peak GB | {' | '.join(f'found at {s:.0%}' for s in SHARES)} | alike by chance |")
        print("|---:" * (4 + len(SHARES)) + "|")
        seconds = [_row(real[corpus], size, shortest_s, longest_s) for size in sizes]
        if len(sizes) > 1:
            power = max(1.0, np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2]))
            there = seconds[-1] * (TARGET / sizes[-1]) ** power
            print(f"grows as clips^{power:.2f} (taken as at least linear): {there:,.0f} CPU s at {TARGET:,} clips")


def _some() -> dict[str, list[Path]]:
    return files({"speech": 500, "digits": 500, "sounds": 192}, seed=0)


def _row(real_NP: np.ndarray, size: int, shortest_s: float, longest_s: float) -> float:
    rng = np.random.default_rng(size)
    copies = size // 100
    made = _mixed(real_NP, size - copies, rng)
    share = rng.choice(SHARES, copies)
    prints = np.concatenate([made, _changed(made[:copies], share, rng)])
    lengths = rng.uniform(shortest_s, longest_s, size)
    lengths[-copies:] = lengths[:copies]
    manifest, measures = _tables(prints, lengths)
    begin = time.process_time()
    found = find(manifest, measures, DuplicateParams(), agree)
    took = time.process_time() - begin
    of = dict(zip(found["clip"], found["duplicate_of"], strict=True))
    hit = np.array([of.get(f"c{size - copies + i}") == f"c{i}" for i in range(copies)])
    near = fp.distances(prints[:copies], prints[-copies:]) <= DuplicateParams().max_bit_error
    recall = " | ".join(f"{hit[near & (share == each)].mean():.3f}" for each in SHARES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {size:,} | {took:.1f} | {peak:.2f} | {recall} | {len(found) - hit.sum()} |", flush=True)
    return took


def _mixed(real_NP: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Fingerprints whose quarters come from four real ones."""
    quarter = fp.PIECES // 4
    chosen = rng.integers(len(real_NP), size=(count, 4))
    return np.concatenate([real_NP[chosen[:, q], q * quarter : (q + 1) * quarter] for q in range(4)], axis=1)


def _changed(words_NP: np.ndarray, share_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Copies with a share of the bits changed; silence stays silence."""
    bits = np.unpackbits(words_NP.view(np.uint8), axis=1)
    bits ^= rng.random(bits.shape) < share_N[:, None]
    return np.where(words_NP == 0, 0, np.packbits(bits, axis=1).view(np.uint32)).astype(np.uint32)


def _agreement(words_NP: np.ndarray) -> str:
    """Measured over pairs of real fingerprints and of mixed ones, with random bits; 2^-16 if all bits were fair."""
    rng = np.random.default_rng(0)
    shares = []
    for prints in (words_NP, _mixed(words_NP, len(words_NP), rng)):
        bits = np.unpackbits(prints.view(np.uint8), axis=1)
        pairs = 0
        for _ in range(200):
            keys = np.packbits(bits[:, rng.permutation(fp.BITS)[:16]], axis=1) @ np.array([256, 1])
            counts = np.unique(keys, return_counts=True)[1].astype(np.int64)
            pairs += int((counts * (counts - 1)).sum())
        shares.append(pairs / 200 / (len(prints) * (len(prints) - 1)))
    return f"{shares[0]:.1e} real, {shares[1]:.1e} mixed, {2.0**-16:.1e} for fair bits"


def _tables(prints: np.ndarray, lengths: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    count = len(prints)
    clips = pd.Series([f"c{i}" for i in range(count)], dtype="string")
    sha = pd.Series([f"{i:064x}" for i in range(count)], dtype="string")
    hexes = prints.tobytes().hex()
    texts = pd.Series([hexes[256 * i : 256 * i + 256] for i in range(count)], dtype="string")
    manifest = pd.DataFrame({"clip": clips, "split": "train", "file_sha256": sha, "start_s": 0.0, "end_s": lengths})
    manifest["channel"] = pd.Series([pd.NA] * count, dtype="Int64")
    measures = {"clip": clips, "decoded_duration_s": lengths, "pcm_sha256": sha, "fingerprint": texts}
    return manifest, pd.DataFrame(measures)


if __name__ == "__main__":
    main()
