"""Several files in one process of ffmpeg: what each gives is what it gives alone, whatever the others are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from allears.audio import ffmpeg, streams
from allears.audio.decode import decoded_together, facts_together
from allears.errors import AudioError

FORMS: dict[str, dict[str, Any]] = {
    "m4a": {"acodec": "aac"}, "webm": {"acodec": "libopus"}, "aac": {"acodec": "aac"}, "wma": {"acodec": "wmav2"},
    "3gp": {"acodec": "libopencore_amrnb", "ar": 8000}, "mka": {"acodec": "libvorbis"}, "mov": {"acodec": "pcm_s16le"},
}  # fmt: skip
BAD = "bad.m4a"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recordings of other lengths in formats that libsndfile does not read; every second one in stereo, one a video."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = []
    for number, (form, options) in enumerate(FORMS.items()):
        source = folder / f"{number}.wav"
        channels = 1 + number % 2 if form != "3gp" else 1
        soundfile.write(source, 0.1 * rng.standard_normal((4_000 + 1_777 * number, channels)), 16_000)
        paths.append(folder / f"{number}.{form}")
        ffmpeg.convert(source, paths[-1], options)
    ffmpeg.convert(folder / "1.wav", folder / "video.mp4", {"acodec": "aac"}, picture_s=1.0)
    return [*paths, folder / "video.mp4"]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of each process that was started."""
    started: list[list[str]] = []
    run = ffmpeg.run

    def counted(arguments: list[str], **options: Any) -> ffmpeg.Finished:
        started.append(arguments)
        return run(arguments, **options)

    monkeypatch.setattr(ffmpeg, "run", counted)
    return started


def orders(clips: list[Path]) -> Iterator[list[Path]]:
    """Some, in some order."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        yield [clips[place] for place in rng.permutation(len(clips))[: int(rng.integers(2, len(clips) + 1))]]


def assert_as_alone(found: dict[Path, ffmpeg.Samples], paths: list[Path]) -> None:
    """`found` holds each of `paths`, bit for bit as it decodes alone."""
    assert list(found) == paths
    for path, (audio_TC, rate) in found.items():
        alone_TC, alone_rate = ffmpeg.decode(path)
        assert (rate, audio_TC.shape) == (alone_rate, alone_TC.shape)
        assert audio_TC.tobytes() == alone_TC.tobytes()


def test_together_they_give_what_each_gives_alone(clips: list[Path]) -> None:
    for paths in orders(clips):
        assert streams.probe_together(paths) == {path: streams.probe(path) for path in paths}
        assert_as_alone(ffmpeg.decode_together(paths), paths)


def test_they_take_one_process(clips: list[Path], processes: list[list[str]]) -> None:
    assert len(facts_together(clips)) == len(decoded_together(clips)) == len(clips)
    assert len(processes) == 2


def test_many_are_dealt_to_several_processes(clips: list[Path], tmp_path: Path) -> None:
    links = [tmp_path / f"{number}.m4a" for number in range(2 * ffmpeg.TOGETHER + 3)]
    for link in links:
        link.symlink_to(clips[0])
    assert set(ffmpeg.decode_together(links)) == set(streams.probe_together(links)) == set(links)


@pytest.mark.parametrize("place", [0, 3, 8])
@pytest.mark.parametrize("spoil", ["garbage", "cut off", "playlist"])
def test_a_bad_file_costs_itself_alone(
    clips: list[Path], tmp_path: Path, processes: list[list[str]], place: int, spoil: str
) -> None:
    bad = tmp_path / BAD
    whole = clips[0].read_bytes()
    bad.write_bytes({"garbage": b"no sound " * 99, "cut off": whole[:-600], "playlist": b"#EXTM3U\n"}[spoil])
    paths = [*clips[:place], bad, *clips[place:]]
    facts, samples = streams.probe_together(paths), ffmpeg.decode_together(paths)
    assert len(processes) <= 2 * 7  # halves of halves, not one a file
    good = [path for path in clips if path in samples]
    assert len(good) >= len(clips) - 2  # its neighbours may be left for themselves too
    assert_as_alone({path: samples[path] for path in good}, good)
    assert all(facts[path] == streams.probe(path) for path in facts)
    assert bad not in samples
    assert bad not in facts


def test_too_much_for_together_is_left_for_alone(clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "TOGETHER_BYTES", 1 << 10)
    assert ffmpeg.decode_together(clips) == {}
    monkeypatch.setattr(ffmpeg, "TOGETHER_TIMEOUT_S", 0.001)
    assert streams.probe_together(clips) == {}
    assert clips[0] not in ffmpeg.decode_together(clips[:2], max_s=0.01)


def test_names_and_tags_that_feign_inputs_deceive_nobody(clips: list[Path], tmp_path: Path) -> None:
    feigned = "x\nInput #1, wav, from 'y':\n  Duration: 00:00:09.00, start\n  Stream #{}:0: Audio: mp3, 9 Hz, mono"
    named = tmp_path / f"{feigned.format(1).replace('/', '')}.m4a"
    named.symlink_to(clips[0])
    tagged = tmp_path / "tagged.mka"
    arguments = ["-loglevel", "error", "-i", str(clips[0]), "-metadata", f"title={feigned.format(0)}", str(tagged)]
    assert ffmpeg.run(arguments).code == 0
    assert streams.probe(tagged).sample_rate_hz == streams.probe(clips[0]).sample_rate_hz == 16_000
    for paths in ([named, *clips], [tagged, *clips], [*clips, named, tagged]):
        facts = streams.probe_together(paths)
        assert facts == {path: streams.probe(path) for path in facts}
        assert len(facts) >= len(clips) - 1


def test_nothing_stays_open(clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / BAD).write_bytes(b"no sound")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    ffmpeg.decode_together([*clips, tmp_path / BAD])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_is_not_for_ffmpeg_is_left_out(clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty.m4a").touch()
    os.mkfifo(tmp_path / "pipe.m4a")
    wav = clips[0].with_suffix(".wav")
    odd = [tmp_path / "empty.m4a", tmp_path / "pipe.m4a", tmp_path / "missing.m4a", wav]
    assert set(decoded_together([*odd, *clips])) == set(facts_together([*odd, *clips])) == set(clips)
    with pytest.raises(AudioError):
        ffmpeg.decode(tmp_path / "empty.m4a")
