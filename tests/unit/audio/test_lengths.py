"""Lengths: what no header declares is measured, all of it is decoded, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audio import ffmpeg, mpeg, seeking
from allears.audio.containers import second_beginning
from allears.audio.decode import Decoder, decode, facts_together, header
from allears.errors import AudioError

PINK = "anoisesrc=c=pink:a=0.3:d="
BARE = ("-write_xing", "0", "-id3v2_version", "0")
CODEC_S = 0.1  # of look-ahead and padding
NOISE = 0.3  # of a piece, against the whole: AAC fills noisy bands with noise that it draws anew in each decoding


def made(path: Path, *arguments: str) -> Path:
    """Return `path`, written by ffmpeg."""
    done = ffmpeg.run(["-loglevel", "error", "-y", *arguments, str(path)])
    assert done.code == 0, done.log
    return path


def noise(path: Path, seconds: float, *options: str, rate_hz: int = 48_000, pad_s: float | None = None) -> Path:
    """Return `path` with pink noise, followed by silence up to `pad_s`."""
    source = f"{PINK}{seconds}:r={rate_hz}" + ("" if pad_s is None else f",apad=whole_dur={pad_s}")
    return made(path, "-f", "lavfi", "-i", source, *options)


def assert_whole(path: Path, seconds: float) -> None:
    """Assert that header and samples last so long, and that pieces are parts of the whole."""
    whole_T, rate_hz = decode(path)
    assert header(path).duration_s == pytest.approx(seconds, abs=CODEC_S)
    assert header(path).duration_s == pytest.approx(len(whole_T) / rate_hz, abs=CODEC_S)
    start_s = 0.6 * seconds
    piece_T, _ = decode(path, start_s, start_s + 1.0)
    expected_T = whole_T[round(start_s * rate_hz) :][: len(piece_T)]
    assert len(piece_T) == len(expected_T) == rate_hz
    assert level(piece_T - expected_T) <= NOISE * level(expected_T)


def level(audio_T: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(audio_T), dtype=np.float64)))


def test_mp3_that_becomes_silent_and_notes_no_length(tmp_path: Path) -> None:
    """Its bit rate at the start says 14 s of 95."""
    path = noise(tmp_path / "a.mp3", 10, "-c:a", "libmp3lame", "-q:a", "4", *BARE, pad_s=95)
    assert_whole(path, 95.04)


def test_a_cover_is_no_audio(tmp_path: Path) -> None:
    cover = made(tmp_path / "cover.png", "-f", "lavfi", "-i", "color=s=500x500,noise=alls=100", "-frames:v", "1")
    assert cover.stat().st_size > 200_000
    path = tmp_path / "art.mp3"
    sound = noise(tmp_path / "a.wav", 6)
    both = ("-i", str(sound), "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy")
    assert_whole(made(path, *both, "-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0"), 6.02)


@pytest.mark.parametrize("other", [("-ar", "22050"), ("-ac", "2"), ("-b:a", "32k")])
def test_mp3s_that_differ_are_read_to_the_end_of_the_last(tmp_path: Path, other: tuple[str, ...]) -> None:
    mono = ("-ac", "1", "-c:a", "libmp3lame", *BARE)
    one = noise(tmp_path / "1.mp3", 4, *mono, rate_hz=44_100)
    two = noise(tmp_path / "2.mp3", 4, *mono, *other, rate_hz=44_100)
    path = tmp_path / "both.mp3"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    assert_whole(path, 8.1)
    whole_T, rate_hz = decode(path)
    assert rate_hz == 44_100
    assert np.std(whole_T[6 * rate_hz :]) > 0.01


@pytest.mark.parametrize("frames", [0, 100, 1000, None])
def test_a_wrong_number_of_frames(tmp_path: Path, frames: int | None) -> None:
    """0 and too few (joined, or edited) are replaced by what was measured; too many stay declared: it was cut off."""
    path = noise(tmp_path / "a.mp3", 6, "-c:a", "libmp3lame", "-q:a", "5")
    data = bytearray(path.read_bytes())
    note = max(data.find(b"Xing"), data.find(b"Info"))
    if frames is None:
        data[note + 7] &= 0xFE  # the flag of that number
    else:
        data[note + 8 : note + 12] = frames.to_bytes(4)
    path.write_bytes(data)
    whole_T, rate_hz = decode(path)
    assert len(whole_T) / rate_hz == pytest.approx(6.0, abs=CODEC_S)
    assert header(path).duration_s == pytest.approx(24.0 if frames == 1000 else 6.0, abs=CODEC_S)


def test_frames_are_counted_through_tags_and_between_garbage(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.mp3", 3, "-c:a", "libmp3lame", "-b:a", "64k", "-reservoir", "0", *BARE)
    data, size = path.read_bytes(), 192  # 64 kbit/s at 48 kHz
    frames = len(data) // size
    tag = b"ID3\4\0\0\0\0\x10\0" + bytes(2048)
    half = frames // 2 * size
    cases = {
        b"": (data, True), b"tag": (tag + data + b"TAG" + bytes(125), True),
        b"middle": (data[:half] + tag + data[half:], False), b"zeros": (bytes(3000) + data, True),
        b"garbage": (data[:half] + np.random.default_rng(0).bytes(5000) + data[half:], False),
    }  # fmt: skip
    for content, uniform in cases.values():
        path.write_bytes(content)
        with path.open("rb") as file:
            counted = mpeg.count(file.fileno())
        assert counted == mpeg.MpegAudio(frames, frames * 1152, 48_000, None, uniform)
        assert_whole(path, frames * 1152 / 48_000)


@pytest.mark.parametrize(
    "content", [bytes(5_000_000), b"\xff\xfb" * 500_000, b"ID3\4\0\0\x7f\x7f\x7f\x7f" * 100, b"\xff"]
)
def test_what_has_no_frames_has_no_count(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    with (tmp_path / "a.mp3").open("rb") as file:
        assert mpeg.count(file.fileno()) is None


ESTIMATED = {
    "aac": ("-c:a", "aac"), "ac3": ("-c:a", "ac3"), "dts": ("-c:a", "dca", "-strict", "-2"), "mp2": ("-c:a", "mp2"),
    "amr": ("-c:a", "libopencore_amrnb", "-ar", "8000"), "ts": ("-c:a", "aac"), "mpg": ("-c:a", "mp2"), "sox": (),
    "w64": (), "voc": ("-c:a", "pcm_u8"), "swf": ("-c:a", "libmp3lame", "-ar", "44100"), "wtv": ("-c:a", "ac3"),
    "live.webm": ("-c:a", "libopus", "-live", "1", "-f", "webm"), "flac.ogg": ("-c:a", "flac"),
}  # fmt: skip


@pytest.fixture(scope="module")
def estimated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four loud and two silent seconds in all that ffmpeg estimates, or does not know, the length of."""
    folder = tmp_path_factory.mktemp("estimated")
    return {name: noise(folder / f"a.{name}", 4, *options, pad_s=6) for name, options in ESTIMATED.items()}


@pytest.mark.parametrize("name", ESTIMATED)
def test_an_estimate_is_no_header(estimated: dict[str, Path], name: str) -> None:
    whole_T, rate_hz = decode(estimated[name])
    assert header(estimated[name]).duration_s == pytest.approx(len(whole_T) / rate_hz, abs=1e-4)
    assert len(whole_T) / rate_hz == pytest.approx(6.0, abs=CODEC_S)


def test_lengths_are_measured_together_as_alone(estimated: dict[str, Path]) -> None:
    together = facts_together(list(estimated.values()))
    assert len(together) >= 8
    for path, facts in together.items():
        assert header(path, facts) == header(path)


CLOCKS = {
    "mkv": ("-c:a", "libopus"), "webm": ("-c:a", "libvorbis"), "mp4": ("-c:a", "aac"),
    "flv": ("-c:a", "aac", "-ar", "44100"), "ts": ("-c:a", "aac"), "nut": ("-c:a", "aac"), "asf": ("-c:a", "wmav2"),
    "opus": ("-c:a", "libopus"), "ogg": ("-c:a", "libvorbis"), "flac.ogg": ("-c:a", "flac"),
    "3gp": ("-c:a", "libopencore_amrnb", "-ar", "8000"), "wtv": ("-c:a", "ac3"), "mpg": ("-c:a", "mp2"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_that_starts_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A network recorder's clock: no second of it is audio, and no piece is late."""
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", 2.0)
    assert_whole(noise(tmp_path / f"a.{name}", 6, *CLOCKS[name], "-output_ts_offset", "5"), 6.0)


@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_audio_that_starts_later_than_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", 2.0)
    sound = noise(tmp_path / "a.wav", 6)
    picture = ("-f", "lavfi", "-i", "color=s=64x48:r=5:d=6", "-itsoffset", "1.5", "-i", str(sound))
    assert_whole(made(tmp_path / f"a.{name}", *picture, "-c:v", "mpeg4", "-c:a", "aac"), 6.0)


@pytest.mark.parametrize("name", ["wav", "aiff", "au"])
def test_audio_behind_the_declared_end_is_refused(tmp_path: Path, name: str) -> None:
    path = noise(tmp_path / f"a.{name}", 2)
    data = path.read_bytes()
    assert header(path).duration_s == 2.0
    path.write_bytes(data + bytes(5000))
    assert header(path).duration_s == 2.0
    path.write_bytes(data + data)
    with pytest.raises(AudioError, match="bytes follow that no header covers") as caught:
        header(path)
    assert caught.value.reason == "undecodable"


def test_a_wav_size_that_was_not_updated_is_refused(tmp_path: Path) -> None:
    data = bytearray(noise(tmp_path / "a.wav", 2).read_bytes())
    size = data.find(b"data") + 4
    data[size : size + 4] = (96_000).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match="covers 96000 bytes"):
        decode(tmp_path / "a.wav")


FRAGMENTS = ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "1000000")
JOINED = {
    "m4a": ("-c:a", "aac"), "mov": ("-c:a", "aac"), "3gp": ("-c:a", "libopencore_amrnb", "-ar", "8000"), "caf": (),
    "rf64.wav": ("-rf64", "always"), "w64": (), "asf": ("-c:a", "wmav2"), "flv": ("-c:a", "aac", "-ar", "44100"),
    "tta": (), "wv": (), "5.1.wv": ("-ac", "6"), "early.mov": ("-c:a", "aac", "-movflags", "faststart"),
    "fragments.mp4": FRAGMENTS, "voc": ("-c:a", "pcm_u8"), "nut": ("-c:a", "aac"),
}  # fmt: skip


@pytest.mark.parametrize("name", JOINED)
def test_a_second_file_that_no_decoder_reads_is_refused(tmp_path: Path, name: str) -> None:
    one = noise(tmp_path / f"1.{name}", 3, *JOINED[name])
    two = noise(tmp_path / f"2.{name}", 4, *JOINED[name])
    assert header(two).duration_s == pytest.approx(4.0, abs=CODEC_S)
    assert_joined_is_refused(tmp_path / f"both.{name}", one.read_bytes(), two.read_bytes())


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"ID3\4\0\0\0\0\0\7" + bytes(7)])
def test_tags_between_joined_files(tmp_path: Path, tag: bytes) -> None:
    one, two = (noise(tmp_path / f"{number}.tta", number).read_bytes() for number in (2, 3))
    assert_joined_is_refused(tmp_path / "both.tta", one, tag + two, tag=len(tag))


@pytest.mark.parametrize(("first", "second"), [("a.m4a", "b.mp4"), ("b.mp4", "a.m4a"), ("a.rf64.wav", "b.wav")])
def test_joined_files_of_two_kinds(tmp_path: Path, first: str, second: str) -> None:
    kinds = {"a.m4a": ("-c:a", "aac"), "b.mp4": FRAGMENTS, "a.rf64.wav": ("-rf64", "always"), "b.wav": ()}
    one, two = (noise(tmp_path / name, 3, *kinds[name]).read_bytes() for name in (first, second))
    assert_joined_is_refused(tmp_path / f"both.{first}", one, two)


def test_old_quicktime_that_is_joined(tmp_path: Path) -> None:
    """Without `ftyp` a file begins with its audio, behind the end of the one before."""
    data = noise(tmp_path / "a.mov", 3, "-c:a", "aac").read_bytes()
    begin = int.from_bytes(data[:4])
    old = bytearray(data[begin:])
    offsets = old.find(b"stco") + 12
    for at in range(offsets, offsets + 4 * int.from_bytes(old[offsets - 4 : offsets]), 4):
        old[at : at + 4] = (int.from_bytes(old[at : at + 4]) - begin).to_bytes(4)
    (tmp_path / "old.mov").write_bytes(old)
    assert_whole(tmp_path / "old.mov", 3.0)
    assert_joined_is_refused(tmp_path / "both.mov", bytes(old), bytes(old))


def assert_joined_is_refused(path: Path, one: bytes, two: bytes, tag: int = 0) -> None:
    """Assert that the place of the second file behind a `tag` is named."""
    path.write_bytes(one + two)
    where = f"another recording begins at byte {len(one) + tag} of {len(one) + len(two)} "
    with pytest.raises(AudioError, match=where) as caught:
        header(path)
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("name", ["mkv", "webm", "avi"])
def test_a_second_file_that_ffmpeg_reads_counts(tmp_path: Path, name: str) -> None:
    codec = "mp2" if name == "avi" else "libopus"
    one, two = (noise(tmp_path / f"{number}.{name}", number, "-c:a", codec) for number in (3, 4))
    path = tmp_path / f"both.{name}"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    assert_whole(path, 7.0)


def test_a_stream_that_repeats_its_beginning_is_read(tmp_path: Path) -> None:
    """Parts of a live stream, each with `ftyp` and `moov` before its fragments, on a clock that goes on."""
    data = noise(tmp_path / "a.mp4", 4, *FRAGMENTS).read_bytes()
    begin, middle = data.find(b"moof") - 4, data.find(b"moof", len(data) // 2) - 4
    path = tmp_path / "both.mp4"
    path.write_bytes(data[:middle] + data[:begin] + data[middle:])
    assert len(decode(path)[0]) == len(decode(tmp_path / "a.mp4")[0])


@pytest.mark.parametrize(
    ("name", "options"),
    [("fragments.mp4", FRAGMENTS), ("stream.caf", ()), ("a.asf", ("-c:a", "wmav2")), ("6.wv", ("-ac", "6"))],
)
def test_one_file_of_many_units_is_read(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = noise(tmp_path / name, 4, *options)
    if name == "stream.caf":
        data = bytearray(path.read_bytes())
        size = data.find(b"data") + 4
        data[size : size + 8] = (-1).to_bytes(8, signed=True)
        path.write_bytes(data)
    assert_whole(path, 4.0)
    if name != "stream.caf":  # its audio goes on to the end
        path.write_bytes(path.read_bytes() + bytes(5000))
        assert_whole(path, 4.0)


@pytest.mark.parametrize("left", range(4, 24, 4))
def test_a_fragment_that_is_cut_off_in_its_clock(tmp_path: Path, left: int) -> None:
    data = noise(tmp_path / "a.mp4", 3, *FRAGMENTS).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: data.rfind(b"tfdt") + left])
    with path.open("rb") as file:
        assert second_beginning(file.fileno()) is None


@pytest.mark.parametrize("rate_hz", [0, 1, 44_100])
def test_a_header_that_declares_too_many_frames_takes_no_memory(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.tta"
    path.write_bytes(b"TTA1" + bytes(6) + rate_hz.to_bytes(4, "little") + b"\xff" * 4 + bytes(100))
    with path.open("rb") as file:
        assert second_beginning(file.fileno()) is None


@pytest.mark.parametrize("other", [("a.ogg", "-c:a", "libvorbis", "-ar", "22050"), ("a.opus", "-c:a", "libopus")])
def test_chained_ogg_whose_parts_differ_is_refused(tmp_path: Path, other: tuple[str, ...]) -> None:
    first = noise(tmp_path / "1.ogg", 2, "-c:a", "libvorbis")
    second = noise(tmp_path / other[0], 2, *other[1:])
    path = tmp_path / "both.ogg"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match="of which only the first can be read"):
        header(path)


def test_joined_flacs_are_read_to_the_end_of_the_last(tmp_path: Path) -> None:
    one, two = (noise(tmp_path / f"{number}.flac", 2 + number) for number in range(2))
    path = tmp_path / "both.flac"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    assert_whole(path, 5.0)


def test_timestamps_that_jump_do_not_move_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that was paused: five seconds by the clock are not in it."""
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", 2.0)
    exact = ("-c:a", "aac", "-aac_pns", "0")  # no noise that each decoder draws anew
    late = noise(tmp_path / "late.mkv", 4, *exact, "-output_ts_offset", "9")
    begin = noise(tmp_path / "begin.mkv", 4, *exact)
    listing = tmp_path / "list.txt"
    listing.write_text(f"file '{begin}'\nduration 9\nfile '{late}'\n")
    path = made(tmp_path / "paused.mkv", "-f", "concat", "-safe", "0", "-i", str(listing), "-c", "copy")
    whole_T, rate_hz = decode(path)
    decoder = Decoder(path)
    for start_s, end_s in ((3.5, 4.5), (4.1, 6.2), (6.7, 7.5)):
        piece_T = decoder.piece(start_s, end_s)[0][:, 0]
        expected_T = whole_T[round(start_s * rate_hz) : round(end_s * rate_hz)]
        assert len(piece_T) == len(expected_T)
        assert level(piece_T - expected_T) <= 1e-3 * level(expected_T)


def test_packets_of_one_size_need_no_even_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips joined by ffmpeg's concat: packets lie 1024 or some samples more apart, and hold 1024 all the same."""
    monkeypatch.setattr("allears.audio.decode.BLOCK_S", 2.0)
    parts = [noise(tmp_path / f"{number}.opus", 1.3 + number / 7, "-c:a", "libopus") for number in range(6)]
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"file '{part}'\n" for part in parts))
    path = made(tmp_path / "a.m4a", "-f", "concat", "-safe", "0", "-i", str(listing), "-c:a", "aac")
    found = path.stat()
    packets = seeking._packets(path, (found.st_ino, found.st_size, found.st_mtime_ns))
    assert packets is not None
    assert len(set(np.diff(packets.pts_P).tolist())) > 1
    assert_whole(path, sum(1.3 + number / 7 for number in range(6)))


def flac(path: Path, subtype: str, channels: int = 2) -> bytearray:
    """Write a FLAC with its MD5, and return its bytes."""
    audio_TC = np.random.default_rng(0).normal(0, 0.1, (20_000, channels))
    soundfile.write(path, audio_TC, 16_000, format="FLAC", subtype=subtype)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\0\7" + bytes(7)])
def test_a_flac_is_checked_against_its_md5(tmp_path: Path, subtype: str, tag: bytes) -> None:
    path = tmp_path / "a.flac"
    data = flac(path, subtype)
    md5 = data.find(b"fLaC") + 26
    assert any(data[md5 : md5 + 16])
    path.write_bytes(tag + data)
    whole_T, _ = decode(path)
    spoiled = data.copy()
    spoiled[md5] ^= 1
    path.write_bytes(tag + spoiled)
    with pytest.raises(AudioError, match=f"gives the MD5 {spoiled[md5 : md5 + 16].hex()}.*decode to") as caught:
        decode(path)
    assert caught.value.reason == "undecodable"
    assert len(decode(path, 0.5, 1.0)[0]) == 8_000  # a piece is not all of it
    spoiled[md5 : md5 + 16] = bytes(16)
    path.write_bytes(tag + spoiled)
    np.testing.assert_array_equal(decode(path)[0], whole_T)


def test_a_cut_flac_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    data = flac(path, "PCM_16")
    path.write_bytes(data[: len(data) // 2])
    assert header(path).duration_s == 1.25
    assert 0 < len(decode(path)[0]) < 15_000
