"""Speech in recordings that are longer than a block: real speech between stretches of silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio.decode import BLOCK_S, decode, resample
from allears.corpus.build import build
from allears.corpus.clips import Recording
from allears.corpus.listing import Source, read_listing, recordings_of
from allears.corpus.probe import probe_files
from allears.corpus.speech import Side, find_speech, to_hear
from allears.errors import AudioError
from allears.params.ingest import IngestParams
from tests.real import REAL, needs_real

RATE_HZ = 16_000


@needs_real
def test_speech_is_found_where_it_is_across_blocks_and_channels(tmp_path: Path) -> None:
    said = [resample(*decode(path), RATE_HZ) for path in sorted((REAL / "speechocean762").rglob("*.opus"))[:4]]
    audio_TC = np.zeros((round(BLOCK_S + 20) * RATE_HZ, 2), np.float32)
    starts = (3.0, 14.0, BLOCK_S - 1.5, BLOCK_S + 10.0)
    for number, (start, clip_T) in enumerate(zip(starts, said, strict=True)):
        first = round(start * RATE_HZ)
        audio_TC[first : first + len(clip_T), number % 2] += clip_T
    soundfile.write(tmp_path / "call.flac", audio_TC, RATE_HZ)
    recording = Recording(tmp_path / "call.flac")
    sides = {Side(recording, channel): "d" * 64 for channel in (None, 0, 1)} | {Side(recording, 7): "d" * 64}
    found = find_speech(sides, tmp_path / "j.jsonl", workers=1)
    for channel, expected in ((None, starts), (0, starts[::2]), (1, starts[1::2])):
        spans = found[Side(recording, channel)]
        assert isinstance(spans, list)
        lengths = {start: len(clip_T) / RATE_HZ for start, clip_T in zip(starts, said, strict=True)}
        for start in expected:
            assert any(start - 0.2 <= a <= b <= start + lengths[start] + 0.2 for a, b in spans)
        covered = sum(b - a for a, b in spans)
        assert 0.4 * sum(lengths[s] for s in expected) < covered <= sum(lengths[s] + 0.4 for s in expected)
    assert isinstance(found[Side(recording, 7)], AudioError)
    again = find_speech(sides, tmp_path / "j.jsonl", workers=1)
    assert again[Side(recording, 0)] == found[Side(recording, 0)]


def test_a_recording_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no audio")
    side = Side(Recording(tmp_path / "x.wav"), None)
    found = find_speech({side: "0" * 64}, tmp_path / "j.jsonl", workers=1)
    assert isinstance(found[side], AudioError)


@needs_real
def test_a_long_call_becomes_clips_that_hold_the_speech_of_each_side(tmp_path: Path) -> None:
    said = [resample(*decode(path), RATE_HZ) for path in sorted((REAL / "speechocean762").rglob("*.opus"))[:2]]
    audio_TC = np.zeros((90 * RATE_HZ, 3), np.float32)
    for channel, (start, clip_T) in enumerate(zip((20.0, 50.0), said, strict=True)):
        audio_TC[round(start * RATE_HZ) : round(start * RATE_HZ) + len(clip_T), channel] = clip_T
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "calls" / "call.flac", audio_TC, RATE_HZ)
    params = IngestParams(segment="vad", channels="split", workers=1)
    source = Source(name="s", root=tmp_path / "calls", layout="plain", why="", licence="CC0-1.0", label=None)
    listing = read_listing([source], None)
    facts = probe_files(recordings_of(listing), tmp_path / "p.jsonl", workers=1)
    heard = find_speech(to_hear(listing, facts, params), tmp_path / "s.jsonl", workers=1)
    built = build(listing, facts, params, heard=heard)
    assert set(built.clips["channel"]) == {0, 1}  # nobody speaks in the third
    for channel, start in ((0, 20.0), (1, 50.0)):
        rows = built.clips[built.clips["channel"] == channel]
        assert rows["start_s"].min() >= start - 2.0
        assert rows["end_s"].max() <= start + len(said[channel]) / RATE_HZ + 2.0
        assert (rows["end_s"] - rows["start_s"]).between(1.99, 30.0).all()
    seconds = float((built.clips["end_s"] - built.clips["start_s"]).sum())
    assert seconds + built.gaps.pauses_s == pytest.approx(3 * 90.0)
    assert len(set(built.clips["group"])) == 1
