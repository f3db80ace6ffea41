"""Headers and samples of any recording: libsndfile where it reads the format, guarded ffmpeg elsewhere.

Both give float32 at the recording's own rate; `tests/unit/audio/test_decode.py` states how far they differ. What
libsndfile reads wrongly or not at all (AAC, video, broken headers) falls to ffmpeg, by what the file *is*, never by
its name.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from allears.audio import chunks, ffmpeg, mpeg, seeking
from allears.audio.checksum import check_md5
from allears.audio.containers import is_read_on
from allears.audio.joined import is_joined, opus_starts_late
from allears.audio.streams import StreamFacts, probe, probe_together
from allears.errors import AudioError
from allears.frames import to_samples

RULES = 3  # raised when this module makes something else of the same bytes
DECODERS = (
    f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}, "
    f"ffmpeg of imageio-ffmpeg {version('imageio-ffmpeg')}, soxr {soxr.__version__}, rules {RULES}"
)
MAX_CLIP_S = 3600.0  # one clip in memory, and no more than MAX_CLIP_BYTES of samples
MAX_CLIP_BYTES = ffmpeg.MAX_OUTPUT_BYTES
KEPT_BYTES = 128 << 20  # of the block before: five minutes of stereo at 48 kHz
MAX_FILE_S = 7 * 24 * 3600.0
MIN_BYTES_PER_S = 4.0  # Opus and AMR need more for silence: a header that declares less than that lies
SAMPLE_RATES_HZ = (1_000, 1_000_000)  # from heart sounds to bats
BLOCK_S = 300.0
_SHORT_BYTES = 4 << 20  # a larger file takes so long to decode that starting a process for it matters little
_LOSSY = ("MPEG", "VORBIS", "OPUS")  # libsndfile's subtypes whose packets depend on those before
_DATA_CHUNK = re.compile(r"^data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)

Mono = npt.NDArray[np.float32]
Channels = npt.NDArray[np.float32]  # [T, C]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording declares of itself; the truth is what it decodes to."""

    codec: str
    sample_rate_hz: int
    channels: int
    duration_s: float


def header(path: Path, facts: StreamFacts | None = None) -> Header:
    """Return the header of `path`; `facts` when `facts_together` found them. A length that no header declares is
    measured.

    Raises AudioError with reason `zero_byte`, `not_a_file`, `not_audio`, `unreadable`, `implausible` or `timeout`;
    OSError when it cannot be opened.
    """
    look = _look(path)
    info = look.info
    if info is None or look.by_ffmpeg:
        return _plausible(_header_by_ffmpeg(path, facts, trusted=not look.partial), path)
    known = Header(
        codec=f"{info.format}/{info.subtype}".lower(),
        sample_rate_hz=info.samplerate,
        channels=info.channels,
        duration_s=(look.counted or _declared_frames(info)) / info.samplerate,
    )
    return _plausible(known, path)


def facts_together(paths: Sequence[Path]) -> dict[Path, StreamFacts]:
    """Return what `header` needs of ffmpeg for files that libsndfile does not read, for less than one by one.

    Short ones without a declared length are measured too. Missing ones have no facts, are not for ffmpeg, or have to
    be read alone: `header` finds out.
    """
    facts = probe_together([path for path in paths if _is_for_ffmpeg(path)])
    unknown = [path for path in facts if facts[path].duration_s is None or _look(path).partial]
    whole = decoded_together(unknown)
    for path in unknown:
        audio_TC, rate_hz = whole.get(path, (None, 1))
        facts[path] = replace(facts[path], duration_s=None if audio_TC is None else len(audio_TC) / rate_hz)
    return facts


def decoded_together(paths: Sequence[Path]) -> dict[Path, tuple[Channels, int]]:
    """Return whole short recordings that libsndfile does not read, as `Decoder` decodes them, for less than one by one.

    Missing ones are long, are not for ffmpeg, or have to be read alone: `Decoder.piece` finds out.
    """
    short = [path for path in paths if _is_for_ffmpeg(path) and path.stat().st_size <= _SHORT_BYTES]
    return ffmpeg.decode_together(short, max_s=MAX_CLIP_S)


def decode(
    path: Path, start_s: float = 0.0, end_s: float | None = None, channel: int | None = None
) -> tuple[Mono, int]:
    """Samples [T] in float32 from `start_s` to `end_s` of one channel (None: the mean of all), and their rate.

    Errors as `Decoder.piece`, and `no_such_channel`.
    """
    audio_TC, rate = Decoder(path).piece(start_s, end_s)
    return mixed(chosen(audio_TC, channel, path)), rate


class Decoder:
    """Pieces of one recording, decoded from front to back when they are asked for in that order.

    What a piece holds depends on the piece alone, not on what was asked for before: codecs that cannot seek to a sample
    are decoded in stretches of BLOCK_S that always begin at the same places. `whole` is what `decoded_together` gave.
    """

    def __init__(self, path: Path, whole: tuple[Channels, int] | None = None) -> None:
        self.path = path
        self._whole = whole
        self._blocks: dict[int, tuple[Channels, int]] = {}

    def piece(self, start_s: float = 0.0, end_s: float | None = None) -> tuple[Channels, int]:
        """Samples [T, C] in float32 from `start_s` to `end_s` (None: to the end), and their rate.

        A file that ends early gives what there is; compare with the declared duration.
        Raises AudioError: `undecodable`, `not_audio`, `too_long`, `timeout`, `zero_byte`, `not_a_file`; OSError when it
        cannot be opened.
        """
        look = _look(self.path)
        if start_s == 0 and end_s is None:
            found = self._whole or _read(self.path, start_s, end_s, look)
            _check_flac(self.path, look, found[0])
            return found
        if look.seeks:
            return _read(self.path, start_s, end_s, look)
        first = int(start_s // BLOCK_S)
        last = None if end_s is None else max(first, math.ceil(end_s / BLOCK_S) - 1)
        block_TC, rate = self._block(first)
        begin = to_samples(start_s, rate) - to_samples(first * BLOCK_S, rate)
        stop = None if end_s is None else to_samples(end_s, rate) - to_samples(first * BLOCK_S, rate)
        if first == last or (last is None and len(block_TC) < to_samples(BLOCK_S, rate)):
            return block_TC[begin:stop], rate
        return self._several_blocks(first, last, begin, stop), rate

    def _several_blocks(self, first: int, last: int | None, begin: int, stop: int | None) -> Channels:
        """Samples `begin` to `stop` of the blocks from `first` to `last` (None: to the end), put one behind the other.

        They grow in one buffer: a list of blocks and what is made of it would need twice the memory.
        """
        samples = bytearray()
        for number in itertools.count(first):
            block_TC, rate = self._block(number)
            taken_TC = block_TC[begin:stop]
            samples += taken_TC.data
            begin = max(begin - len(block_TC), 0)
            stop = None if stop is None else max(stop - len(block_TC), 0)
            frames = len(samples) // (4 * block_TC.shape[1])
            _check_length(frames, block_TC, rate, self.path, beside=block_TC.nbytes - KEPT_BYTES)
            if number == last or (last is None and len(block_TC) < to_samples(BLOCK_S, rate)):
                break
        if len(samples) > KEPT_BYTES:
            self._blocks.clear()
        return np.frombuffer(samples, np.float32).reshape(-1, block_TC.shape[1])

    def _block(self, number: int) -> tuple[Channels, int]:
        """Return stretch `number` of the recording; lossy codecs decode a second before it first."""
        if number not in self._blocks:
            self._blocks = {
                near: kept for near, kept in self._blocks.items() if near == number - 1 and kept[0].nbytes <= KEPT_BYTES
            }
            start_s, end_s = number * BLOCK_S, (number + 1) * BLOCK_S
            look = _look(self.path)
            if not look.by_ffmpeg:
                before_s = max(start_s - seeking.RUN_UP_S, 0.0)
                audio_TC, rate = _read(self.path, before_s, end_s, look)
                block = audio_TC[to_samples(start_s, rate) - to_samples(before_s, rate) :], rate
            elif number == 0 or look.partial:
                block = ffmpeg.decode(self.path, start_s, end_s, max_s=2 * BLOCK_S)
            else:
                block = seeking.stretch(self.path, start_s, end_s, max_s=2 * BLOCK_S)
            self._blocks[number] = block
        return self._blocks[number]


def chosen(audio_TC: Channels, channel: int | None, path: Path) -> Channels:
    """One channel [T, 1] of [T, C], or (None) all of them; AudioError `no_such_channel`."""
    channels = audio_TC.shape[1]
    if channel is None:
        return audio_TC
    if channel >= channels:
        raise AudioError("no_such_channel", f"{path.name}: channel {channel} was asked for, it has {channels}")
    return np.ascontiguousarray(audio_TC[:, channel : channel + 1])


def mixed(audio_TC: Channels) -> Mono:
    """The mean [T] of all channels."""
    return audio_TC[:, 0] if audio_TC.shape[1] == 1 else audio_TC.mean(axis=1, dtype=np.float32)


def resample(audio: Mono, rate_hz: int, new_rate_hz: int) -> Mono:
    """`audio` [T] at another rate, by soxr's high-quality recipe; unchanged when the rates agree."""
    if rate_hz == new_rate_hz:
        return audio
    resampled: Mono = soxr.resample(audio, rate_hz, new_rate_hz, quality="HQ").astype(np.float32, copy=False)
    return resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """The decoder that reads all of a file. `info`: libsndfile's header, None when it reads none.

    `partial`: libsndfile reads only a part of it, or not in the right place. `counted`: samples of an MP3 that notes
    no length.
    """

    info: soundfile._SoundFileInfo | None
    partial: bool = False
    counted: int | None = None

    @property
    def by_ffmpeg(self) -> bool:
        return self.info is None or self.partial or not _has_length(self.info.frames)

    @property
    def seeks(self) -> bool:
        """True when libsndfile finds any sample of it at once, and exactly."""
        return self.info is not None and not self.by_ffmpeg and not self.info.subtype.startswith(_LOSSY)


def _look(path: Path) -> _Look:
    """Look at the bytes of `path` once, however often it is decoded.

    Raises AudioError and OSError as `_descriptor`, and `undecodable` for what no decoder reads to its end.
    """
    found = path.stat()
    return _looked(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=256)
def _looked(path: Path, _stamp: tuple[int, int, int, int]) -> _Look:
    descriptor = _descriptor(path)
    try:
        if is_joined(descriptor, path.name) or is_read_on(descriptor):
            return _Look(info=None, partial=True)
        chunks.check_end(descriptor, path.name)
        try:
            info = soundfile.info(os.dup(descriptor), verbose=True)
        except soundfile.LibsndfileError:
            return _Look(info=None)
        if info.subtype.startswith("MPEG"):
            return _looked_at_frames(descriptor, info)
        if info.subtype == "OPUS":
            return _Look(info=info, partial=opus_starts_late(descriptor, info.frames, info.samplerate))
        return _Look(info=info, partial=info.format == "FLAC" and chunks.continues(descriptor))
    finally:
        os.close(descriptor)


def _looked_at_frames(descriptor: int, info: soundfile._SoundFileInfo) -> _Look:
    """Compare an MP3's length with the number of its frames: what notes none is estimated by libsndfile."""
    counted = mpeg.count(descriptor)
    if counted is None:
        return _Look(info=info)
    if counted.noted_frames:
        return _Look(info=info, partial=not counted.uniform or counted.frames > counted.noted_frames)
    return _Look(info=info, partial=not counted.uniform or counted.samples > info.frames, counted=counted.samples)


def _read(path: Path, start_s: float, end_s: float | None, look: _Look) -> tuple[Channels, int]:
    """[T, C] from a fresh look at the file: libsndfile, else ffmpeg."""
    if look.by_ffmpeg:
        return ffmpeg.decode(path, start_s, end_s, max_s=MAX_CLIP_S)
    try:
        with soundfile.SoundFile(_descriptor(path)) as sound:
            rate = sound.samplerate
            first = min(to_samples(start_s, rate), sound.frames)
            last = sound.frames if end_s is None else min(to_samples(end_s, rate), sound.frames)
            frames = max(last - first, 0)
            _check_length(frames, np.empty((0, sound.channels), np.float32), rate, path)
            if first > 0:
                sound.seek(first)
            audio_TC: Channels = sound.read(frames, dtype="float32", always_2d=True)
            return audio_TC, rate
    except soundfile.LibsndfileError:
        return ffmpeg.decode(path, start_s, end_s, max_s=MAX_CLIP_S)


def _check_flac(path: Path, look: _Look, audio_TC: Channels) -> None:
    """AudioError `undecodable` when all samples of a FLAC do not have the MD5 that it carries of them."""
    if look.info is None or "FLAC" in (look.info.format, look.info.subtype):
        descriptor = _descriptor(path)
        try:
            check_md5(descriptor, audio_TC, path.name)
        finally:
            os.close(descriptor)


def _check_length(frames: int, like_TC: Channels, rate: int, path: Path, *, beside: int = 0) -> None:
    """AudioError `too_long` for what does not fit into memory in one piece, with so many bytes `beside` it."""
    channels = like_TC.shape[1]
    if frames > MAX_CLIP_S * rate or frames * channels * 4 + max(beside, 0) > MAX_CLIP_BYTES:
        raise AudioError(
            "too_long",
            f"{path.name}: {frames / rate:.0f} s of {channels} channels in one piece, at most {MAX_CLIP_S:g} s and "
            f"{MAX_CLIP_BYTES >> 20} MB fit; cut it by `ingest.segment=fixed`",
        )


def _declared_frames(info: soundfile._SoundFileInfo) -> int:
    """Libsndfile shortens a cut-off wav to what is there; its log still says what the header declared."""
    chunk = _DATA_CHUNK.search(info.extra_info or "")
    if chunk is None or int(chunk[2]) == 0:
        return int(info.frames)
    declared, found = int(chunk[1]), int(chunk[2])
    streamed = declared >= 0xFFFFFFFF - 64 or declared == 0  # written to a pipe: the size was never known
    return int(info.frames) if streamed else round(info.frames * declared / found)


def _descriptor(path: Path) -> int:
    """`path` opened for libsndfile, which closes it. AudioError for what is no regular file (a pipe would block).

    A descriptor, because libsndfile looks for other files beside a *name*, and takes `.raw` for samples alone.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size > 0:
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise AudioError("zero_byte", f"{path.name}: the file is empty (an interrupted copy?); copy it again")
    raise AudioError("not_a_file", f"{path.name}: it is no file, but a folder, a pipe or a device; take it away")


def _has_length(frames: int) -> bool:
    """Whether the header says how long it is; a recorder that was switched off leaves 0, a stream SF_COUNT_MAX."""
    return 0 < frames < (1 << 63) - 1


def _is_for_ffmpeg(path: Path) -> bool:
    """Tell whether libsndfile does not read it, or not its length, or not all. False too when it cannot be opened."""
    try:
        return _look(path).by_ffmpeg
    except (AudioError, OSError):
        return False


def _header_by_ffmpeg(path: Path, facts: StreamFacts | None, *, trusted: bool) -> Header:
    """Return the header as ffmpeg reads it; a length is measured where none is declared, or not to be `trusted`."""
    seconds = None if facts is None else facts.duration_s
    if facts is None:
        facts = probe(path)
        seconds = facts.duration_s if trusted else None
    if seconds is None:
        seconds = ffmpeg.measured_s(path)
    return Header(codec=facts.codec, sample_rate_hz=facts.sample_rate_hz, channels=facts.channels, duration_s=seconds)


def _plausible(known: Header, path: Path) -> Header:
    """`known`, or AudioError `implausible`: what it promises would be cut into millions of clips of nothing."""
    lowest, highest = SAMPLE_RATES_HZ
    if not lowest <= known.sample_rate_hz <= highest:
        text = f"its header declares {known.sample_rate_hz} Hz; recordings have {lowest} to {highest} Hz"
        raise AudioError("implausible", f"{path.name}: {text}")
    size = path.stat().st_size
    if known.duration_s > min(MAX_FILE_S, size / MIN_BYTES_PER_S):
        text = f"its header declares {known.duration_s:.0f} s in {size} bytes"
        raise AudioError(
            "implausible", f"{path.name}: {text}: it is cut off, longer than {MAX_FILE_S / 3600:g} h, or lies"
        )
    return known
