"""Pieces start at the sample that they name, in every container and codec that this ffmpeg writes and allears reads.

The signal is a chirp, whose frequency tells the time: shifted by one sample it differs by more than TOLERANCE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio import ffmpeg
from allears.audio.decode import Decoder, header, resample
from allears.errors import AudioError
from allears.frames import to_samples
from tests.long import LONG

SECONDS = 7.0
RATE_HZ = 16_000
BLOCK_S = 2.0
SPANS_S = ((0.0, 0.5), (0.25, 1.75), (1.9, 2.1), (2.0, 2.5), (2.6173, 3.9), (3.999, 4.75), (1.5, 5.5), (5.123456, 6.5))
TOLERANCE = 0.1  # of the chirp's level: what a lossy codec may make of the same samples after another run-up
EARLIEST_S, LATEST_S = -0.05, 0.15  # what codecs may shift a recording by that say nothing of their delay in the file
DIFFERENCE_S = 0.1  # between declared and decoded length that the policies allow: codecs pad
PCM = ("pcm_s16le", "pcm_s24be", "pcm_f64le", "pcm_alaw", "pcm_u8")


def chirp(rate_hz: int) -> np.ndarray:
    """Tone of 600 Hz that rises by 200 Hz per second."""
    time_T = np.arange(round(SECONDS * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * (600 + 100 * time_T) * time_T)).astype(np.float32)


def listed(what: str, kind: str) -> list[str]:
    """Return the names in one of ffmpeg's lists."""
    output = ffmpeg.run(["-loglevel", "error", what]).output.decode()
    return [name for line in re.findall(rf"^ *{kind}\S* +(\S+)", output, re.MULTILINE) for name in line.split(",")]


def written(source: Path, target: Path, *options: str) -> Path | None:
    """Return `target`, encoded; None where ffmpeg cannot, or where allears does not read the container."""
    for more in ((), ("-ar", "8000"), ("-strict", "-2")):  # what some encoders ask for
        arguments = ["-loglevel", "error", "-y", "-i", str(source), *options, *more, str(target)]
        if ffmpeg.run(arguments, timeout_s=20).code == 0:
            break
    else:
        return None
    try:
        header(target)
    except (AudioError, FileNotFoundError):
        return None
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chirp in 16 kHz."""
    path = tmp_path_factory.mktemp("chirp") / "chirp.wav"
    soundfile.write(path, chirp(RATE_HZ), RATE_HZ)
    return path


@pytest.fixture(scope="module")
def recordings(source: Path) -> dict[str, Path]:
    """The chirp by every muxer with its own codec, at length (`tests.long`) by every encoder too."""
    muxers = [name for name in listed("-muxers", "E") if name not in ("tee", "fifo", "hls", "dash", "alsa", "pulse")]
    encoders = [name for name in listed("-encoders", "A") if name in PCM or not name.startswith("pcm_")] if LONG else []

    def by_muxer(name: str) -> Path | None:
        return written(source, source.with_name(f"m.{name}"), "-f", name)

    def by_codec(name: str) -> Path | None:
        target = source.with_name(f"{name}.matroska")
        return written(source, target, "-c:a", name, "-f", "matroska")

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(by_muxer, muxers), *pool.map(by_codec, encoders)]
    return {path.name: path for path in found if path is not None}


def wrong(path: Path) -> Iterator[str]:
    """Yield each fault of the pieces of a recording of the chirp; none where it is refused with a reason."""
    decoder = Decoder(path)
    try:
        whole_TC, rate_hz = decoder.piece()
    except (AudioError, FileNotFoundError):
        return
    whole_T = whole_TC[:, 0]
    if (difference_s := abs(header(path).duration_s - len(whole_T) / rate_hz)) > DIFFERENCE_S:
        yield f"declared length is wrong by {difference_s:.3f} s"
    shift = shifted(whole_T, rate_hz)
    if not EARLIEST_S <= shift <= LATEST_S:
        yield f"begins {shift:.3f} s late"
    for start_s, end_s in SPANS_S:
        piece_T = decoder.piece(start_s, end_s)[0][:, 0]
        first = to_samples(start_s, rate_hz)
        expected_T = whole_T[first : to_samples(end_s, rate_hz)]
        if len(piece_T) != len(expected_T):
            yield f"{start_s} s: {len(piece_T)} samples of {len(expected_T)}"
        elif (error := level(piece_T - expected_T) / level(expected_T)) > TOLERANCE:
            yield f"{start_s} s: differs by {error:.2f}"


def level(audio_T: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(audio_T), dtype=np.float64)))


def shifted(whole_T: np.ndarray, rate_hz: int) -> float:
    """Return by how many seconds the decoded chirp is late, from its middle."""
    original_T = resample(chirp(RATE_HZ), RATE_HZ, rate_hz)
    first, width = 3 * rate_hz, rate_hz
    matches = np.correlate(
        whole_T[first - rate_hz // 2 : first + width + rate_hz // 2], original_T[first : first + width]
    )
    return (int(np.argmax(matches)) - rate_hz // 2) / rate_hz


def test_every_container_and_codec(recordings: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", BLOCK_S)
    with ThreadPoolExecutor(4) as pool:
        faults = dict(zip(recordings, pool.map(lambda path: list(wrong(path)), recordings.values()), strict=True))
    assert {name: found for name, found in faults.items() if found} == {}
    assert len(faults) > (60 if LONG else 40), sorted(faults)
