from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audio import speech
from allears.audio.highpass import Highpassed
from allears.audio.speech import (
    CHUNK_S,
    HYSTERESIS,
    SpanSpec,
    SpeechMeasures,
    measure_speech,
    speech_probabilities,
    speech_spans,
)
from tests.real import REAL, needs_real
from tests.reference import measures as oracle


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, samples).astype(np.float32)


@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), rate_hz=st.sampled_from([16_000, 8_000, 44_100]))
@settings(max_examples=15, deadline=None)
def test_where_the_blocks_are_cut_changes_nothing(cuts: list[int], rate_hz: int) -> None:
    audio = noise(20_000)
    blocks = np.split(audio, sorted(cuts))
    whole = np.concatenate(list(speech_probabilities([audio], rate_hz)))
    assert len(whole) == np.ceil(np.floor(20_000 * 16_000 / rate_hz + 0.5) / 512)
    np.testing.assert_allclose(np.concatenate(list(speech_probabilities(blocks, rate_hz))), whole, atol=1e-4)


def test_nothing_has_no_probability_and_no_span() -> None:
    assert not list(speech_probabilities([], 16_000))
    assert not list(speech_spans([np.zeros(0, np.float32)], 8_000, SpanSpec()))


def slow_spans(probability: list[float], total_s: float, spec: SpanSpec) -> list[tuple[float, float]]:
    """Mark chunks as speech, close short gaps, drop short spans, add margins: one after the other."""
    speaking, marks = False, []
    for p in probability:
        quiet = spec.probability - HYSTERESIS
        if speaking and p < quiet:
            speaking = p >= spec.probability
        speaking = speaking or p >= spec.probability
        marks.append(speaking)
    spans: list[list[float]] = []
    for i, mark in enumerate(marks):
        if mark and spans and i * CHUNK_S - spans[-1][1] < spec.min_gap_s - 1e-9:
            spans[-1][1] = (i + 1) * CHUNK_S
        elif mark:
            spans.append([i * CHUNK_S, (i + 1) * CHUNK_S])
    ends = [(a, min(b, total_s)) for a, b in spans]
    return [(max(0, a - spec.margin_s), min(total_s, b + spec.margin_s)) for a, b in ends if b - a >= spec.min_speech_s]


@given(
    probability=st.lists(st.sampled_from([0.0, 0.4, 0.6, 1.0]), max_size=80), short=st.integers(0, 511),
    gap=st.integers(2, 12),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_spans_are_runs_with_gaps_closed_and_margins_added(probability: list[float], short: int, gap: int) -> None:
    samples = max(len(probability) * 512 - short, 0)
    spec = SpanSpec(min_gap_s=gap * CHUNK_S, margin_s=0.03, min_speech_s=0.1)
    with pytest.MonkeyPatch.context() as patch:

        def given_probabilities(blocks: object, rate_hz: int) -> object:
            for _ in blocks:  # type: ignore[attr-defined]
                pass
            yield np.array(probability, np.float32)

        patch.setattr(speech, "speech_probabilities", given_probabilities)
        found = list(speech_spans([np.zeros(samples, np.float32)], 16_000, spec))
    expected = slow_spans(probability, samples / 16_000, spec)
    assert [edge for span in found for edge in span] == pytest.approx([edge for span in expected for edge in span])
    edges = [0.0, *(edge for span in found for edge in span), samples / 16_000]
    assert edges == sorted(edges)


def test_an_offset_and_a_slow_tone_do_not_reach_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setattr(speech, "speech_probabilities", lambda blocks, _: [seen.append(each) for each in blocks] and [])
    time = np.arange(160_000) / 16_000
    audio, slow = noise(160_000), 0.3 + 0.1 * np.sin(2 * np.pi * 20 * time).astype(np.float32)
    for each in (audio, audio + slow):
        list(speech_spans([each[:80_000], each[80_000:]], 16_000, SpanSpec()))
    np.testing.assert_allclose(np.concatenate(seen[2:]), np.concatenate(seen[:2]), atol=1e-3)


def test_margins_that_would_touch_are_refused() -> None:
    with pytest.raises(ValueError, match="half of min_gap_s"):
        SpanSpec(min_gap_s=0.2, margin_s=0.2)


def test_a_stride_hears_one_stretch_in_so_many() -> None:
    audio = noise(100_000)
    sound = Highpassed(audio, 16_000)
    heard = np.concatenate(list(speech._heard(sound, 512, 3)))
    rows = sound.part(0, 98_304).reshape(-1, 4_096)  # eight cycles of three stretches of eight chunks
    np.testing.assert_array_equal(heard, rows[::3].ravel())
    np.testing.assert_array_equal(np.concatenate(list(speech._heard(sound, 512, 1))), rows.ravel())


def test_clips_that_are_too_short_have_no_share() -> None:
    assert measure_speech(Highpassed(noise(3_999), 16_000), 0.5) is None
    assert measure_speech(Highpassed(noise(4_000), 16_000), 0.5) == SpeechMeasures(0.0, None)


def always(probability: np.ndarray) -> Callable[..., list[np.ndarray]]:
    """A detector that gives these probabilities to any audio, which it has listened to."""

    def detect(blocks: Iterable[np.ndarray], _: int) -> list[np.ndarray]:
        for _block in blocks:
            pass
        return [probability.astype(np.float32)]

    return detect


@pytest.mark.parametrize(("noise_db", "truth"), [(-60, 60), (-30, 30), (-10, 10), (0, 0)])
def test_speech_against_pauses_is_the_ratio_of_their_powers(
    monkeypatch: pytest.MonkeyPatch, noise_db: float, truth: float
) -> None:
    """Also where a word is not heard as one before its fourth chunk of 32 ms, as loud as the others."""
    spoken = np.tile(np.repeat([True, False], [20, 27]), 10)
    heard = np.tile(np.repeat([False, True, False], [3, 17, 27]), 10)
    monkeypatch.setattr(speech, "speech_probabilities", always(np.where(heard, 0.9, 0.05)))
    rng = np.random.default_rng(0)
    audio = rng.normal(size=len(spoken) * 512) * 10 ** (noise_db / 20)
    audio += rng.normal(size=len(audio)) * np.repeat(spoken, 512)
    audio[1::2] = -audio[::2]  # hardly any power at low frequencies
    found = measure_speech(Highpassed(audio.astype(np.float32) * np.float32(0.1), 16_000), 0.5)
    assert found is not None
    assert found.speech_share == pytest.approx(17 / 47)
    assert found.pause_snr_db == pytest.approx(truth, abs=1.5)


@given(
    probability=st.lists(st.sampled_from([0.05, 0.1, 0.3, 0.6, 0.9]), min_size=8, max_size=60),
    runs=st.integers(1, 9), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_speech_against_pauses_agrees_with_loops_over_chunks(probability: list[float], runs: int, seed: int) -> None:
    heard = np.repeat(probability, runs)
    level = np.random.default_rng(seed).gamma(0.4, size=len(heard))
    audio = (noise(len(heard) * 512, seed) * np.repeat(level, 512)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "speech_probabilities", always(heard))
        sound = Highpassed(audio, 16_000)
        found = measure_speech(sound, 0.5)
    assert found is not None
    chunks = len(audio) // 512 if len(audio) <= speech.WHOLE_S * 16_000 else len(audio) // 4_096 * 8
    expected = oracle.pause_snr_db(
        sound.part(0, chunks * 512).tolist(), heard.tolist(), 512, speech_from=0.5, pause_under=speech.PAUSE,
        near=speech.NEAR_CHUNKS, least=speech.LEAST_CHUNKS, share=speech.PAUSE_SHARE,
    )  # fmt: skip
    assert found.pause_snr_db == (None if expected is None else pytest.approx(expected, abs=1e-4))


@needs_real
def test_people_speak_and_the_world_does_not() -> None:
    import soundfile

    folders = {"speech": REAL / "speechocean762" / "audio", "sounds": REAL / "esc10"}
    shares: dict[str, list[float]] = {}
    for name, step in (("speech", 60), ("sounds", 6)):
        for file in sorted(each for each in folders[name].rglob("*.*") if each.is_file())[::step]:
            found = measure_speech(Highpassed(*soundfile.read(file, dtype="float32")), 0.5, stride=2)
            assert found is not None
            shares.setdefault(name, []).append(found.speech_share)
    assert min(len(each) for each in shares.values()) > 30
    assert np.median(shares["speech"]) > 0.5
    assert np.quantile(shares["speech"], 0.05) > 5 * np.quantile(shares["sounds"], 0.95)


@needs_real
@pytest.mark.parametrize("offset", [0.0, -0.085, 0.3])
def test_a_span_is_found_where_speech_was_put(offset: float) -> None:
    import soundfile

    file = next((REAL / "speechocean762" / "audio").rglob("*.*"))
    audio, rate = soundfile.read(file, dtype="float32")
    hush = noise(rate * 10) * 0.01
    blocks = [block + np.float32(offset) for block in (hush, audio, hush, audio, hush)]
    spans = list(speech_spans(blocks, rate, SpanSpec(min_gap_s=1.0)))
    length = len(audio) / rate
    for begin in (10.0, 20.0 + length):
        inside = [span for span in spans if begin - 0.3 < span[0] and span[1] < begin + length + 0.3]
        assert sum(end - start for start, end in inside) > 0.4 * length
        spans = [span for span in spans if span not in inside]
    assert not spans
