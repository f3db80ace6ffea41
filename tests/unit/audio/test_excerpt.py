from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio.excerpt import RATES_HZ, mp3, write_excerpt
from allears.audio.features import hertz_of_mel, mel_of_hertz
from allears.audio.picture import HEIGHT, WIDTH, spectrogram, webp
from allears.errors import AudioError


def tone(hertz: float, rate_hz: int, seconds: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def noise(rate_hz: int, seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz))).astype(np.float32)


def brightness(image: np.ndarray) -> np.ndarray:
    return image.astype(int).sum(axis=2)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_a_tone_is_a_bright_line_at_its_mel(rate_hz: int) -> None:
    rows = brightness(spectrogram(tone(1000, rate_hz), rate_hz)).mean(axis=1)
    place = mel_of_hertz(1000) / mel_of_hertz(rate_hz / 2)
    assert abs((HEIGHT - 1 - rows.argmax()) - place * (HEIGHT - 1)) <= 1.5


@pytest.mark.parametrize("seconds", [0.001, 0.3, 3.0, 30.0])
def test_time_runs_to_the_right_over_the_whole_width(seconds: float) -> None:
    rate_hz = 16_000
    sound = noise(rate_hz, seconds)
    sound[len(sound) // 2 :] = 0
    image = spectrogram(sound, rate_hz)
    assert image.shape == (HEIGHT, WIDTH, 3)
    columns = brightness(image).mean(axis=0)
    if seconds >= 0.3:
        assert columns[: WIDTH // 3].min() > columns[-WIDTH // 3 :].max() + 100


def test_silence_is_black_and_a_picture_is_small() -> None:
    assert brightness(spectrogram(np.zeros(16_000, np.float32), 16_000)).max() <= 4
    assert len(webp(spectrogram(noise(16_000, 12), 16_000))) < 30_000


def test_mel_and_back() -> None:
    hertz = np.array([0.0, 60.0, 1000.0, 24_000.0])
    assert hertz_of_mel(mel_of_hertz(hertz)) == pytest.approx(hertz)


@pytest.mark.parametrize(
    ("rate_hz", "expected_hz"), [(8_000, 16_000), (16_000, 16_000), (22_050, 22_050), (48_000, 24_000)]
)
def test_the_sound_is_the_clip_again(tmp_path: Path, rate_hz: int, expected_hz: int) -> None:
    """Read by ffmpeg's own decoder too, as browsers do."""
    from allears.audio import ffmpeg

    sound = tone(440, rate_hz, 3.0) * np.linspace(0, 1, 3 * rate_hz, dtype=np.float32)
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(sound, rate_hz))
    read, rate = soundfile.read(path, dtype="float32")
    assert rate == expected_hz
    assert rate in RATES_HZ
    assert len(read) / rate == pytest.approx(3.0, abs=0.05)
    want = tone(440, rate, 3.0) * np.linspace(0, 1, 3 * rate, dtype=np.float32)
    size = min(len(read), len(want))
    assert np.corrcoef(read[:size], want[:size])[0, 1] > 0.99
    again, rate_again = ffmpeg.decode(path)
    assert (rate_again, again.shape[1]) == (rate, 1)
    assert len(again) / rate == pytest.approx(3.0, abs=0.06)


def test_twelve_seconds_of_noise_stay_small() -> None:
    assert len(mp3(noise(48_000, 12), 48_000)) < 80_000


def test_an_excerpt_is_a_sound_and_a_picture(tmp_path: Path) -> None:
    made = write_excerpt(tone(2000, 16_000), 16_000, tmp_path / "out" / "clip-1")
    assert (made.seconds, made.top_hz) == (2.0, 8000)
    heard, rate = soundfile.read(tmp_path / "out" / "clip-1.mp3")
    assert np.abs(np.fft.rfft(heard)).argmax() * rate / len(heard) == pytest.approx(2000, abs=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip-1.mp3", "clip-1.webp"}


def test_what_is_not_finite_can_be_heard_and_what_is_empty_cannot(tmp_path: Path) -> None:
    assert write_excerpt(np.full(8_000, np.nan, np.float32), 16_000, tmp_path / "nan").seconds == 0.5
    with pytest.raises(AudioError, match="no audio"):
        write_excerpt(np.zeros(0, np.float32), 16_000, tmp_path / "none")
