"""A clip's measures need little memory beside its samples, and are the same in however many blocks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio import blocks, decode, fingerprint
from allears.audio.measures import MeasureSpec
from allears.audit.clip import measure_clip

RATE_HZ = 16_000
SPEC = MeasureSpec(
    clip_level=0.99, silence_dbfs=-50.0, silence_below_loud_db=40.0, bandwidth_drop_db=50.0, speech_probability=0.5,
    speech_stride=2,
)  # fmt: skip


def bursts(seconds: int, channels: int = 1) -> np.ndarray:
    """Loud and soft noise, some of it clipped, half of it with an offset."""
    random = np.random.default_rng(0)
    level = np.repeat(random.gamma(0.4, size=seconds), RATE_HZ)[:, None]
    level[:: 4 * RATE_HZ] = 1.0
    level[np.arange(len(level)) // RATE_HZ % 4 == 3] = 1e-5
    audio_TC = 0.4 * level * random.standard_normal((seconds * RATE_HZ, channels))
    audio_TC[: len(audio_TC) // 2] += 0.01
    return np.clip(audio_TC, -1, 1).astype(np.float32)


def in_ogg(audio_TC: np.ndarray, path: Path) -> Path:
    """Vorbis, in which libsndfile finds no sample exactly; written by the second, since it crashes on long arrays."""
    with soundfile.SoundFile(path, "w", RATE_HZ, audio_TC.shape[1], "VORBIS") as file:
        for first in range(0, len(audio_TC), RATE_HZ):
            file.write(audio_TC[first : first + RATE_HZ])
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", 10_007)
    monkeypatch.setattr("allears.audio.highpass.BLOCK_SAMPLES", 10_007)
    monkeypatch.setattr("allears.audio.highpass.WHOLE_SAMPLES", 0)
    monkeypatch.setattr("allears.audio.highpass.BLOCK_KNOTS", 1_000)
    monkeypatch.setattr(fingerprint, "BLOCK_FRAMES", 37)


@pytest.mark.parametrize("channels", [1, 2])
def test_measures_are_the_same_in_however_many_blocks(channels: int, request: pytest.FixtureRequest) -> None:
    audio_TC = bursts(12, channels)
    whole = measure_clip(audio_TC, RATE_HZ, SPEC)
    request.getfixturevalue("small_blocks")
    found = measure_clip(audio_TC, RATE_HZ, SPEC)
    numbers = {name: value for name, value in whole.items() if isinstance(value, float)}
    assert {name: found[name] for name in numbers} == pytest.approx(numbers, rel=1e-5, abs=1e-5)
    assert {name: found[name] for name in whole.keys() - numbers} == {k: whole[k] for k in whole.keys() - numbers}
    assert whole["clipped_share"] > 0
    assert 0 < whole["silence_share"] < 1


@pytest.mark.usefixtures("small_blocks")
def test_a_long_clip_needs_little_memory_beside_its_samples() -> None:
    audio_TC = bursts(600)
    measure_clip(audio_TC[: 3 * RATE_HZ], RATE_HZ, SPEC)  # weights and tables are read once
    tracemalloc.start()
    measure_clip(audio_TC, RATE_HZ, SPEC)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * audio_TC.nbytes, "that of a block, whatever the clip's length"


def test_a_piece_of_many_blocks_is_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = in_ogg(bursts(200), tmp_path / "a.ogg")
    monkeypatch.setattr(decode, "BLOCK_S", 10.0)
    whole_TC, _ = decode.Decoder(path).piece(5.0, 195.0)
    tracemalloc.start()
    piece_TC, _ = decode.Decoder(path).piece(5.0, 195.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(piece_TC, whole_TC)
    assert peak < 1.5 * piece_TC.nbytes


def test_a_piece_that_does_not_fit_is_refused_before_all_of_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_ogg(bursts(60), tmp_path / "a.ogg")
    monkeypatch.setattr(decode, "BLOCK_S", 10.0)
    monkeypatch.setattr(decode, "MAX_CLIP_BYTES", 20 * RATE_HZ * 4)
    assert len(decode.Decoder(path).piece(5.0, 24.0)[0]) == 19 * RATE_HZ
    with pytest.raises(decode.AudioError, match=r"cut it by `ingest\.segment=fixed`") as caught:
        decode.Decoder(path).piece(5.0, 55.0)
    assert caught.value.reason == "too_long"
