"""Stretches from the middle of a recording in a container with timestamps, exact to the sample.

A sample's place is its number when the whole file is decoded. ffmpeg seeks by timestamps, which may be rounded to
milliseconds, start late, jitter or jump. So the timestamp of every packet is read once (nothing is decoded for it), and
the packets are counted: with codecs whose packets hold the same number of samples each, the packet's number gives the
sample. Whatever does not fit this picture is decoded from its beginning: slower, and as right.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allears.audio import ffmpeg
from allears.errors import AudioError, PassingError
from allears.frames import to_samples

RUN_UP_S = 1.0  # decoders need one: Opus 80 ms, MP3 some frames, AAC two
# Demuxers that find any timestamp without a guess; those of raw streams guess it from the bit rate
_SEEKABLE = frozenset(("flv", "matroska", "mov", "mpegts", "nut"))
# Codecs that decode to the same after RUN_UP_S, wherever they began; ADPCM may never
_SETTLING = frozenset(("aac", "ac3", "alac", "amr_nb", "amr_wb", "dts", "eac3", "flac", "mp2", "mp3", "opus"))
# Codecs whose packets all decode to the same number of samples, whatever time lies between their timestamps
_OF_ONE_SIZE = frozenset((b"aac", b"ac3", b"amr_nb", b"amr_wb", b"mp2", b"mp3"))
_HEAD_SAMPLES = 200_000  # decoded to see how packets and samples belong together
_UNSETTLED = 2  # frames at the start, which encoder delay shortens
_CONTAINER = re.compile(r"^Input #0, (.+?), from ", re.MULTILINE)
_TIME_BASE = re.compile(rb"^#tb 0: (\d+/\d+)$", re.MULTILINE)
_CODEC = re.compile(rb"^#codec_id 0: (\w+)$", re.MULTILINE)
_RATE = re.compile(rb"^#sample_rate 0: (\d+)$", re.MULTILINE)
_PACKET = re.compile(rb"^0, +-?\d+, +(-?\d+), +(\d+), +\d+, 0x[0-9a-f]+(,?)", re.MULTILINE)  # a comma: it has marks

Frames = npt.NDArray[np.int64]  # [F, 3]


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """Timestamps [P] of all packets, and how packets and samples belong together: packet `p` begins with sample
    `origin` + `p` · `samples`.
    """

    pts_P: npt.NDArray[np.int64]
    time_base: str
    rate_hz: int
    samples: int
    origin: int

    def time_s(self, sample: int) -> float:
        """Return the time, by the container's clock, of the packet that holds `sample` (or of the first, or last)."""
        packet = min(max((sample - self.origin) // self.samples, 0), len(self.pts_P) - 1)
        above, below = self.time_base.split("/")
        return int(self.pts_P[packet]) * int(above) / int(below)

    @property
    def end(self) -> int:
        """First sample of the last packet: behind it, packets tell nothing."""
        return self.origin + (len(self.pts_P) - 1) * self.samples

    def origin_of(self, frames_F3: Frames) -> int | None:
        """Return the sample with which decoding began, if all frames after the first (which is cut) agree on it."""
        pts_F, before_F = frames_F3[1:, 0], frames_F3[1:, 1]
        packets_F = np.minimum(np.searchsorted(self.pts_P, pts_F), len(self.pts_P) - 1)
        origins_F = self.origin + packets_F * self.samples - before_F
        known = len(pts_F) > 0 and (self.pts_P[packets_F] == pts_F).all() and (origins_F == origins_F[0]).all()
        return int(origins_F[0]) if known else None


def stretch(path: Path, start_s: float, end_s: float, *, max_s: float) -> ffmpeg.Samples:
    """Return the samples [T, channels] from `start_s` to `end_s` as `ffmpeg.decode` counts them, and their rate.

    Lossy codecs whose state reaches back further than RUN_UP_S may differ in noise. Raises AudioError as
    `ffmpeg.decode`.
    """
    found = path.stat()
    packets = _packets(path, (found.st_ino, found.st_size, found.st_mtime_ns))
    sought = None if packets is None else _sought(path, packets, start_s, end_s, max_s=max_s)
    if sought is not None:
        return sought
    return ffmpeg.decode(path, start_s, end_s, max_s=max_s)


def _sought(path: Path, packets: Packets, start_s: float, end_s: float, *, max_s: float) -> ffmpeg.Samples | None:
    """Decode from RUN_UP_S before `start_s`; None where the frames are not those that `packets` leads to expect."""
    first, last = to_samples(start_s, packets.rate_hz), to_samples(end_s, packets.rate_hz)
    run_up = to_samples(RUN_UP_S, packets.rate_hz)
    begin_s = packets.time_s(first - run_up)
    cut = f"atrim=start={begin_s:.6f}"
    if last + run_up < packets.end:
        cut += f":end={packets.time_s(last + run_up):.6f}"
    with _pipe() as (read, write):
        seek = ["-copyts", "-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{begin_s:.6f}"]
        arguments = [*ffmpeg.QUIET, *seek, *ffmpeg.input_arguments(path), *_decoded(cut, write.fileno())]
        arguments += ["-f", "au", "-c:a", "pcm_f32be", "-flush_packets", "0", "pipe:1"]
        finished = ffmpeg.run(arguments, what=path.name, pipes=[(read, write)])
    origin = packets.origin_of(_frames(finished.piped[0]))
    if origin is None or origin > first:
        return None
    audio_TC, rate_hz = ffmpeg.samples_of(finished, path, max_s=max_s + 3 * RUN_UP_S)
    ends_early = origin + len(audio_TC) < min(last, packets.end)
    return None if ends_early or rate_hz != packets.rate_hz else (audio_TC[first - origin : last - origin], rate_hz)


@functools.lru_cache(maxsize=8)  # pieces of one file come one after the other
def _packets(path: Path, _stamp: tuple[int, int, int]) -> Packets | None:
    """Read all packets and decode the first frames; None where packets do not tell samples."""
    with _pipe() as (read, write):
        arguments = ["-nostats", "-copyts", *ffmpeg.input_arguments(path)]
        arguments += ["-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-flush_packets", "0", "pipe:1"]
        arguments += [*_decoded(f"atrim=end_sample={_HEAD_SAMPLES}", write.fileno()), "-f", "null", "-"]
        try:
            finished = ffmpeg.run(arguments, what=path.name, pipes=[(read, write)])
        except PassingError:
            raise
        except AudioError:
            return None
    container = _CONTAINER.search(finished.log)
    if finished.code != 0 or container is None or not _SEEKABLE & set(container[1].split(",")):
        return None
    return _matched(bytes(finished.output), _frames(finished.piped[0]))


def _matched(listed: bytes, head_F3: Frames) -> Packets | None:
    """Return the packets `listed` by framecrc, matched with the first decoded frames; None where they do not match."""
    codec, time_base, rate = (facts.search(listed) for facts in (_CODEC, _TIME_BASE, _RATE))
    if codec is None or not (codec[1].decode() in _SETTLING or codec[1].startswith(b"pcm_")):
        return None
    found_P = _PACKET.findall(listed)
    rows = np.array([(pts, length, len(mark)) for pts, length, mark in found_P], dtype=np.int64).reshape(-1, 3)
    settled_F = head_F3[_UNSETTLED:-1, 2]
    if time_base is None or rate is None or len(settled_F) == 0 or len(rows) < 2 * _UNSETTLED:
        return None
    pts_P, lengths_P, marks_P = rows[:, 0], rows[_UNSETTLED:-1, 1], rows[_UNSETTLED:-1, 2]
    above, below = (int(part) for part in time_base[1].split(b"/"))
    ticks = (
        int(settled_F[0]) * below / (int(rate[1]) * above)
    )  # of a packet; gaps may follow it, but nothing overlap it
    gaps_P = np.diff(pts_P[_UNSETTLED:-1])
    one_size = codec[1] in _OF_ONE_SIZE and not marks_P.any() and bool((gaps_P >= ticks - 1).all())
    regular = np.ptp(lengths_P) <= 1 or one_size  # lengths may be rounded
    if np.ptp(settled_F) > 0 or (np.diff(pts_P) <= 0).any() or not regular:
        return None
    found = Packets(pts_P, time_base[1].decode(), int(rate[1]), int(settled_F[0]), 0)
    origin = found.origin_of(head_F3[_UNSETTLED - 1 : -1])
    return None if origin is None else replace(found, origin=-origin)


def _decoded(filters: str, descriptor: int) -> list[str]:
    """Return the arguments that decode the first audio stream, and write each frame's timestamp and length."""
    listing = ["-stats_enc_pre", f"pipe:{descriptor}", "-stats_enc_pre_fmt", "{ptsi} {sn} {samp}"]
    return ["-map", "0:a:0", "-vn", "-sn", "-dn", "-threads", "1", "-af", filters, *listing]


def _frames(listed: bytearray) -> Frames:
    """Return timestamp, number of samples before it, and number of samples of each frame."""
    numbers = np.fromstring(bytes(listed), dtype=np.int64, sep=" ")
    return numbers[: len(numbers) // 3 * 3].reshape(-1, 3)


@contextlib.contextmanager
def _pipe() -> Iterator[ffmpeg.Pipe]:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reading, os.fdopen(write, "wb") as writing:
        yield reading, writing
