"""Real recordings for the benchmarks: some of each corpus in the folder that ALLEARS_REAL_DATA names."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from allears.audio import fingerprint as fp
from allears.audio.decode import decode
from allears.audio.highpass import Highpassed
from allears.audio.measures import spectrum_blocks
from tests.real import REAL

CORPORA = {"speech": "speechocean762/audio/*/*", "digits": "fsdd/recordings/*", "sounds": "esc10/*/*"}


def files(counts: dict[str, int], seed: int) -> dict[str, list[Path]]:
    """That many files of each corpus, drawn with the seed; the script ends with a sentence when there are none."""
    if not REAL.is_dir():
        print("Not measured: set ALLEARS_REAL_DATA to the folder of real recordings (speechocean762, fsdd, esc10).")
        sys.exit(0)
    rng = np.random.default_rng(seed)
    chosen = {}
    for name, count in counts.items():
        found = sorted(REAL.glob(CORPORA[name]))
        chosen[name] = [found[i] for i in sorted(rng.permutation(len(found))[:count])]
    return chosen


def words(path: Path) -> np.ndarray:
    """The fingerprint [PIECES] of a file."""
    return words_of(*decode(path))


def words_of(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """The fingerprint [PIECES] of samples."""
    blocks = spectrum_blocks(Highpassed(np.asarray(audio, dtype=np.float32), rate_hz))
    energy = np.concatenate([fp.band_energies(block.power_FK, block.bin_hz) for block in blocks])
    return fp.as_words([fp.fingerprint(energy)])[0]
