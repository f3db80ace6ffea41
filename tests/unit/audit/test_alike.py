from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audio import fingerprint as fp
from allears.audit import alike
from tests.reference import duplicates as slow

LIMITS = {"max_bit_error": 0.19, "max_duration_difference_s": 0.1}


def prints(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 2**32, (count, fp.PIECES), dtype=np.uint32)


def flipped(words: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    return np.packbits(bits ^ (rng.random(bits.shape) < share), axis=1).view(np.uint32)


def family(seed: int, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips that descend from a few recordings by 0 to 30 % of the bits, some mostly silent, of three lengths."""
    rng = np.random.default_rng(seed)
    words = prints(rng, 4)[rng.integers(0, 4, clips)]
    words = np.concatenate([flipped(words[[i]], rng.uniform(0, 0.3), rng) for i in range(clips)])
    words[rng.random(words.shape) < rng.choice([0.0, 0.5, 0.8], (clips, 1))] = 0
    return words, rng.choice([2.0, 2.06, 2.12], clips)


def pairs(found: alike.Found) -> list[tuple[int, int, float]]:
    return list(zip(*(column.tolist() for column in found), strict=True))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24))
def test_all_pairs_are_what_comparing_one_by_one_finds(seed: int, clips: int) -> None:
    words, seconds = family(seed, clips)
    found = pairs(alike.nearest_alike(words, seconds, **LIMITS))
    expected = slow.nearest_alike(words.tolist(), seconds.tolist(), 0.19, 0.1, alike.NEAREST)
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected])
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]


@settings(deadline=None, max_examples=15)  # each builds 256 tables
@given(st.integers(0, 2**32 - 1), st.integers(2, 24))
def test_hashing_invents_nothing(seed: int, clips: int) -> None:
    words, seconds = family(seed, clips)
    later, earlier, error = alike.nearest_alike(words, seconds, **LIMITS, all_pairs=-1)
    assert (earlier < later).all()
    assert (error <= 0.19).all()
    assert (np.abs(seconds[later] - seconds[earlier]) <= 0.1).all()


def test_a_chunk_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    words, seconds = family(1, 200)
    whole = pairs(alike.nearest_alike(words, seconds, **LIMITS))
    assert len(whole) > 100
    monkeypatch.setattr(alike, "CHUNK", 7)
    assert pairs(alike.nearest_alike(words, seconds, **LIMITS)) == whole


@pytest.mark.parametrize(("share", "recall"), [(0.05, 1.0), (0.12, 1.0), (0.17, 0.99)])
def test_hashing_finds_planted_copies(share: float, recall: float) -> None:
    rng = np.random.default_rng(0)
    originals = prints(rng, 3_000)
    copies = flipped(originals[:400], share, rng)
    words = np.concatenate([originals, copies])
    true = fp.distances(originals[:400], copies) <= 0.19
    later, earlier, _ = alike.nearest_alike(words, np.full(len(words), 5.0), **LIMITS, all_pairs=0)
    assert len(later) >= recall * true.sum()
    assert (later - 3_000 == earlier).all()


def test_hashing_twice_gives_the_same() -> None:
    words, seconds = family(3, 200)
    one, other = (pairs(alike.nearest_alike(words, seconds, **LIMITS, all_pairs=0)) for _ in range(2))
    assert one == other


def test_each_of_many_copies_has_an_earlier_one() -> None:
    rng = np.random.default_rng(0)
    words = np.concatenate([prints(rng, 50), np.repeat(prints(rng, 1), 500, axis=0)])
    later, earlier, _ = alike.nearest_alike(words, np.full(len(words), 5.0), **LIMITS, all_pairs=0)
    assert set(later) == set(range(51, 550))
    assert earlier.min() >= 50
    assert len(later) <= 499 * alike.NEAREST


def test_clips_without_sound_are_like_none() -> None:
    silent = np.zeros((40, fp.PIECES), dtype=np.uint32)
    for all_pairs in (0, 10_000):
        assert pairs(alike.nearest_alike(silent, np.full(40, 5.0), **LIMITS, all_pairs=all_pairs)) == []
