"""libsndfile and ffmpeg against each other, and what headers promise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from allears.audio import ffmpeg
from allears.audio.decode import DECODERS, Decoder, decode, header, resample
from allears.audio.joined import is_joined
from allears.errors import AudioError

RATE = 48_000
SECONDS = 3.0
# Largest difference of a sample in [-1, 1] between the two decoders: PCM agrees exactly, lossy codecs up to the order
# in which floats are added.
TOLERANCE = {"wav": 0.0, "flac": 0.0, "mp3": 2e-6, "opus": 1e-6, "ogg": 1e-6}
CODECS: dict[str, dict[str, Any]] = {
    "flac": {"acodec": "flac"}, "mp3": {"acodec": "libmp3lame"}, "opus": {"acodec": "libopus"},
    "ogg": {"acodec": "libvorbis"}, "m4a": {"acodec": "aac"}, "webm": {"acodec": "libopus"},
}  # fmt: skip


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A stereo sweep in noise, in every format; `mp4` has a picture."""
    folder = tmp_path_factory.mktemp("audio")
    time = np.arange(round(SECONDS * RATE)) / RATE
    rng = np.random.default_rng(0)
    left = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) + 0.03 * rng.standard_normal(time.size)
    soundfile.write(folder / "a.wav", np.stack((left, 0.5 * left), axis=1), RATE)
    for name, options in CODECS.items():
        ffmpeg.convert(folder / "a.wav", folder / f"a.{name}", options)
    ffmpeg.convert(folder / "a.wav", folder / "a.mp4", {"acodec": "aac"}, picture_s=SECONDS)
    return {path.suffix[1:]: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", TOLERANCE)
def test_the_two_decoders_agree(recordings: dict[str, Path], name: str) -> None:
    audio, rate = decode(recordings[name], channel=0)
    other, other_rate = ffmpeg.decode(recordings[name])
    assert rate == other_rate == RATE
    assert audio.size == other.shape[0]
    assert np.abs(audio - other[:, 0]).max() <= TOLERANCE[name]


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus", "ogg", "m4a", "webm", "mp4"])
def test_the_header_agrees_with_what_is_decoded(recordings: dict[str, Path], name: str) -> None:
    found = header(recordings[name])
    audio, rate = decode(recordings[name])
    assert (found.sample_rate_hz, found.channels) == (rate, 2)
    assert found.duration_s == pytest.approx(SECONDS, abs=0.02)
    assert audio.size / rate == pytest.approx(SECONDS, abs=0.02)
    assert audio.dtype == np.float32


@pytest.mark.parametrize(("name", "tolerance"), [("wav", 0), ("flac", 0), ("mp3", 1e-6), ("opus", 1e-6), ("ogg", 1e-6)])
def test_a_piece_is_that_piece_of_the_whole(recordings: dict[str, Path], name: str, tolerance: float) -> None:
    whole, rate = decode(recordings[name])
    piece, _ = decode(recordings[name], 1.5, 2.25)
    assert np.abs(piece - whole[round(1.5 * rate) : round(2.25 * rate)]).max() <= tolerance


@pytest.mark.parametrize("name", ["m4a", "webm", "mp4"])
def test_a_piece_that_ffmpeg_cuts_lies_within_a_millisecond(recordings: dict[str, Path], name: str) -> None:
    whole, rate = decode(recordings[name])
    piece, _ = decode(recordings[name], 1.5, 2.25)
    assert piece.size == round(0.75 * rate)
    first = round(1.5 * rate)
    shifts = range(-200, 201)
    near = [np.abs(piece[:8000] - whole[first + shift : first + shift + 8000]).mean() for shift in shifts]
    assert abs(shifts[int(np.argmin(near))]) <= rate // 1000


def test_channels_are_one_or_their_mean(recordings: dict[str, Path]) -> None:
    left, right = (decode(recordings["wav"], channel=channel)[0] for channel in (0, 1))
    np.testing.assert_allclose(decode(recordings["wav"])[0], (left + right) / 2, atol=1e-7)
    with pytest.raises(AudioError, match="channel 2 was asked for, it has 2"):
        decode(recordings["wav"], channel=2)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "webm"])
def test_a_cut_off_file_still_declares_its_length(recordings: dict[str, Path], tmp_path: Path, name: str) -> None:
    data = recordings[name].read_bytes()
    cut = tmp_path / f"cut.{name}"
    cut.write_bytes(data[: len(data) // 2])
    audio, rate = decode(cut)
    assert header(cut).duration_s == pytest.approx(SECONDS, abs=0.02)
    assert audio.size / rate < 0.7 * SECONDS


@pytest.mark.parametrize("name", ["mp3", "opus", "ogg"])
def test_what_is_joined_is_read_to_its_end(recordings: dict[str, Path], tmp_path: Path, name: str) -> None:
    """`cat one other`: libsndfile ends with the first, whose header says nothing of the other."""
    joined = tmp_path / f"joined.{name}"
    joined.write_bytes(2 * recordings[name].read_bytes())
    whole, rate = decode(joined)
    assert header(joined).duration_s == pytest.approx(whole.size / rate, abs=1e-3)
    assert whole.size / rate == pytest.approx(2 * SECONDS, abs=0.1)  # mp3 has its encoder's delay twice
    first, _ = decode(recordings[name])
    assert np.abs(whole[: first.size // 2] - first[: first.size // 2]).max() <= 2e-6
    for start_s, end_s in ((1.0, 2.5), (2.5, 4.0), (4.5, None)):
        piece, _ = decode(joined, start_s, end_s)
        end = None if end_s is None else round(end_s * rate)
        np.testing.assert_array_equal(piece, whole[round(start_s * rate) : end])


@pytest.mark.parametrize(
    ("name", "behind"), [("mp3", b"TAG" + bytes(125)), ("mp3", b"APETAGEX" + bytes(3_000)), ("ogg", b""), ("wav", b"")]
)
def test_tags_behind_a_recording_are_no_other_one(
    recordings: dict[str, Path], tmp_path: Path, name: str, behind: bytes
) -> None:
    tagged = tmp_path / f"tagged.{name}"
    tagged.write_bytes(recordings[name].read_bytes() + behind)
    assert header(tagged).duration_s == pytest.approx(SECONDS, abs=0.01)
    assert len(decode(tagged)[0]) == len(decode(recordings[name])[0])
    with tagged.open("rb") as file:
        assert not is_joined(file.fileno(), name)


def test_a_stream_that_begins_with_another_is_no_part(recordings: dict[str, Path], tmp_path: Path) -> None:
    """Sound and picture in one Ogg have a first page each, one after the other."""
    data = recordings["ogg"].read_bytes()
    second = data.index(b"OggS", 4)
    together, chained = tmp_path / "together.ogg", tmp_path / "chained.ogg"
    together.write_bytes(data[:second] + data)
    chained.write_bytes(data + data[:second])
    for path, expected in ((together, False), (chained, True)):
        with path.open("rb") as file:
            assert is_joined(file.fileno(), path.name) is expected


def test_a_raw_stream_without_a_length_is_measured(recordings: dict[str, Path], tmp_path: Path) -> None:
    ffmpeg.convert(recordings["wav"], tmp_path / "a.aac", {"acodec": "aac"})
    whole, rate = decode(tmp_path / "a.aac")
    assert header(tmp_path / "a.aac").duration_s == whole.size / rate == pytest.approx(SECONDS, abs=0.05)


def test_resampling_keeps_a_tone_and_leaves_equal_rates_alone() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    low = resample(tone, RATE, 16_000)
    assert low.size == 16_000
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(low - expected)[200:-200].max() < 1e-3
    assert resample(tone, RATE, RATE) is tone


def test_digests_name_every_decoder() -> None:
    assert all(name in DECODERS for name in ("libsndfile", "ffmpeg", "soxr"))


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg", "m4a"])
def test_a_piece_is_the_same_whatever_was_decoded_before(
    recordings: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", 1.0)
    pieces = [(0.0, 0.4), (0.4, 1.25), (0.9, 2.6), (1.5, 1.75), (2.25, None)]
    decoder = Decoder(recordings[name])
    together = [decoder.piece(*piece)[0] for piece in pieces]
    alone = [Decoder(recordings[name]).piece(*piece)[0] for piece in pieces]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    whole, rate = Decoder(recordings[name]).piece()
    for (start, _), piece in zip(pieces, together, strict=True):
        first = round(start * rate)
        # AAC fills noisy bands with noise of its own, drawn anew in each decoding
        assert np.abs(piece - whole[first : first + len(piece)]).mean() < (2e-2 if name == "m4a" else 2e-6)
