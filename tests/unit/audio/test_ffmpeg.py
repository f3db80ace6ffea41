"""The guards around ffmpeg, each by something that it must stop."""

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from allears.audio import ffmpeg, streams
from allears.errors import AudioError

ENDLESS = ["-loglevel", "error", "-re", "-f", "lavfi", "-i", "anoisesrc=r=8000", "-f", "null", "-"]


def test_a_run_that_takes_too_long_is_killed_with_all_its_processes() -> None:
    start = time.monotonic()
    with pytest.raises(AudioError, match="did not end within 1 s") as caught:
        ffmpeg.run(ENDLESS, timeout_s=1.0, what="endless")
    assert caught.value.reason == "timeout"
    assert time.monotonic() - start < 5
    assert not [child for child in psutil.Process().children(recursive=True) if "ffmpeg" in child.name()]


def test_a_long_file_is_stopped_at_the_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / "long.m4a"
    arguments = [
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=r=8000:d=2400",
        "-c:a",
        "aac",
        "-b:a",
        "8k",
        str(long),
    ]
    assert ffmpeg.run(arguments, timeout_s=120).code == 0
    with pytest.raises(AudioError) as caught:
        ffmpeg.decode(long, max_s=2500, timeout_s=0.02)
    assert caught.value.reason == "timeout"
    with pytest.raises(AudioError, match="over 10 s in one piece") as caught:
        ffmpeg.decode(long, max_s=10)
    assert caught.value.reason == "too_long"
    audio, rate = ffmpeg.decode(long, 2300.0, 2301.0, timeout_s=0.02)  # there is more time for what is passed over
    assert audio.shape == (rate, 1)
    monkeypatch.setattr(ffmpeg, "TIMEOUT_S", 0.02)
    assert ffmpeg.measured_s(long) == pytest.approx(2400, abs=1)


def test_output_beyond_the_cap_is_refused() -> None:
    noise = ["-loglevel", "error", "-f", "lavfi", "-i", "anoisesrc=r=48000", "-f", "f32le", "-"]
    with pytest.raises(AudioError, match="more than 1 MB"):
        ffmpeg.run(noise, max_output_bytes=1 << 20, what="noise")


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_playlists_lead_nowhere(tmp_path: Path, playlist: str) -> None:
    soundfile.write(tmp_path / "secret.wav", np.zeros(16_000), 16_000)
    trap = tmp_path / "trap.wav"
    trap.write_text(playlist.format(path=tmp_path / "secret.wav"))
    with pytest.raises(AudioError) as caught:
        ffmpeg.decode(trap)
    assert caught.value.reason in ("not_audio", "undecodable")
    with pytest.raises(AudioError, match="no audio in it"):
        streams.probe(trap)


def test_a_name_that_looks_like_an_option_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("-version.wav", np.zeros(8_000), 8_000)
    assert streams.probe(Path("-version.wav")).sample_rate_hz == 8_000


def test_every_listed_container_is_one_of_this_ffmpeg() -> None:
    listed = ffmpeg.run(["-demuxers"]).output.decode()
    known = {name for line in listed.splitlines() for name in line.split()[1:2] for name in name.split(",")}
    known |= {name for line in listed.splitlines() if len(line.split()) > 2 for name in line.split()[2].split(",")}
    assert set(ffmpeg.CONTAINERS) <= known


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    for name, options in {"opus": {"acodec": "libopus"}, "m4a": {"acodec": "aac"}}.items():
        for i in range(2):
            ffmpeg.convert(tmp_path / "a.wav", tmp_path / f"{i}.{name}", options)
        assert (tmp_path / f"0.{name}").read_bytes() == (tmp_path / f"1.{name}").read_bytes()
    for i in range(2):
        ffmpeg.convert(tmp_path / "a.wav", tmp_path / f"{i}.mp4", {"acodec": "aac"}, picture_s=1.0)
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def test_an_encoder_that_refuses_says_why(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 11_111)
    with pytest.raises(AudioError, match="could not write it"):
        ffmpeg.convert(tmp_path / "a.wav", tmp_path / "nowhere" / "a.opus", {"acodec": "libopus"})


LAYOUTS = sorted(streams.named_layouts())


def test_the_layouts_are_those_that_ffmpeg_lists() -> None:
    known = {"mono": 1, "stereo": 2, "quad(side)": 4, "5.1(side)": 6, "7.1(wide)": 8, "hexadecagonal": 16, "22.2": 24}
    assert len(LAYOUTS) > 20
    assert known.items() <= streams.named_layouts().items()


@pytest.mark.parametrize("layout", [*LAYOUTS, "FL+LFE", "FC+BL+BR"])
def test_the_channels_of_every_layout_are_counted(layout: str, tmp_path: Path) -> None:
    many = _silence(tmp_path / "many.wav", layout, "pcm_s16le")
    channels = streams.named_layouts().get(layout, layout.count("+") + 1)
    assert streams.probe(many).channels == soundfile.info(many).channels == channels


@pytest.mark.parametrize(("layout", "channels"), [("ambisonic 1", 4), ("ambisonic 2", 9), ("ambisonic 1+stereo", 6)])
def test_ambisonics_are_counted(layout: str, channels: int, tmp_path: Path) -> None:
    sphere = _silence(tmp_path / "sphere.opus", layout, "libopus", "-mapping_family", "2")
    assert streams.probe(sphere).channels == ffmpeg.decode(sphere)[0].shape[1] == channels


def _silence(path: Path, layout: str, codec: str, *options: str) -> Path:
    source = ["-f", "lavfi", "-i", f"anullsrc=cl={layout}:r=48000:d=0.1"]
    done = ffmpeg.run(["-loglevel", "error", *source, "-c:a", codec, *options, str(path)])
    assert done.code == 0, done.log
    return path
