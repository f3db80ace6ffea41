"""Facts of audio streams, read from the log in which ffmpeg describes its inputs (imageio-ffmpeg has no ffprobe)."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allears.audio import ffmpeg
from allears.errors import AudioError

# Containers whose duration ffmpeg derives from timestamps that it finds near both ends of the file
_WITHOUT_DURATION = frozenset(("mpeg", "mpegts", "ogg", "wtv"))
_COUNTED_FROM_ZERO = "matroska"  # its duration is the time of its end, not the time between start and end
_LATEST_START_S = 0.1  # of a clock that counts as starting at 0; encoder delay and rounding stay under it
_INPUT = re.compile(r"^Input #(\d+), (.+?), from ", re.MULTILINE)
_STREAM = re.compile(
    r"^ +Stream #(?P<input>\d+):\d+.*?: Audio: (?P<codec>\w+).*?, (?P<rate>\d+) Hz, (?P<layout>[^,\n]+)"
    r"(?:.*, start (?P<start>\d+\.\d+))?", re.MULTILINE,
)  # fmt: skip
_DURATION = re.compile(r"^ +Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)(?:, start: (-?\d+\.\d+))?", re.MULTILINE)
_ESTIMATED = re.compile(r"^\[in#(\d+)/.*Estimating duration from bitrate", re.MULTILINE)
_LAYOUT_CHANNELS = {"mono": 1, "stereo": 2}  # nearly all there are; for others ffmpeg is asked
_AMBISONIC = re.compile(r"ambisonic (?P<order>\d+)(?:\+(?P<rest>.+))?")


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Facts that ffmpeg reads from a header. `duration_s` is the length that the container declares: None when it
    declares none, also where ffmpeg prints an estimate (from the bit rate, or from timestamps).
    """

    codec: str
    sample_rate_hz: int
    channels: int
    duration_s: float | None


def probe(path: Path, *, timeout_s: float = 30.0) -> StreamFacts:
    """Return codec, rate, channels and declared duration of the first audio stream.

    Raises AudioError: `not_audio` when there is no audio stream or no known container, `unreadable` when the stream
    has no usable facts.
    """
    return _facts(ffmpeg.run(ffmpeg.input_arguments(path), timeout_s=timeout_s, what=path.name).log, path)


def probe_together(paths: Sequence[Path]) -> dict[Path, StreamFacts]:
    """Return the result of `probe` for each, at an eighth of its price; missing ones have to be probed alone."""
    return ffmpeg.together(paths, _probe_all)


def _probe_all(paths: Sequence[Path]) -> dict[Path, StreamFacts] | None:
    arguments = [argument for path in paths for argument in ffmpeg.input_arguments(path)]
    log = ffmpeg.run(arguments, timeout_s=ffmpeg.TOGETHER_TIMEOUT_S).log
    begins = list(_INPUT.finditer(log))
    if [begin[1] for begin in begins] != [str(number) for number in range(len(paths))]:
        return None  # one of them cannot be opened, or names and tags in it feign an input
    estimated = {int(each[1]) for each in _ESTIMATED.finditer(log)}
    ends = [begin.start() for begin in begins[1:]] + [len(log)]
    found = {}
    for number, (path, begin, end) in enumerate(zip(paths, begins, ends, strict=True)):
        with contextlib.suppress(AudioError):
            found[path] = _facts(log[begin.start() : end], path, number, estimated=number in estimated)
    return found


def _facts(log: str, path: Path, number: int = 0, *, estimated: bool = False) -> StreamFacts:
    """Return the facts that the log gives of input `number`; AudioError as `probe`."""
    stream = next((each for each in _STREAM.finditer(log) if each["input"] == str(number)), None)
    if stream is None:
        raise AudioError("not_audio", f"{path.name}: no audio in it that ffmpeg can read ({ffmpeg.last_line(log)})")
    channels = _channels(stream["layout"].strip())
    rate = int(stream["rate"])
    if rate <= 0 or channels <= 0:
        raise AudioError("unreadable", f"{path.name}: its header declares {rate} Hz and '{stream['layout']}'")
    begin = _INPUT.search(log)
    estimated = estimated or begin is None or _ESTIMATED.search(log, 0, begin.start()) is not None
    seconds = (
        None
        if estimated or begin is None
        else _declared_s(log, set(begin[2].split(",")), float(stream["start"] or 0.0))
    )
    return StreamFacts(stream["codec"], rate, channels, seconds)


def _declared_s(log: str, container: set[str], stream_start_s: float) -> float | None:
    """Return the length that the container declares for its audio, None where it declares none.

    Audio may start later than 0 by the container's clock. That is subtracted where the container's duration includes
    it. Other containers differ in what they declare then, so that the length has to be measured.
    """
    declared = _DURATION.search(log)
    if declared is None or container & _WITHOUT_DURATION:
        return None
    seconds = int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3])
    start_s = max(float(declared[4] or 0.0), stream_start_s)
    if start_s <= _LATEST_START_S:
        return seconds
    return max(seconds - start_s, 0.0) if _COUNTED_FROM_ZERO in container else None


def _channels(layout: str) -> int:
    """Return the channels of a layout as ffmpeg writes it, 0 when it is unknown.

    For example `5.1(side)`, `3 channels (FL+FR+LFE)`, `ambisonic 1+stereo`.
    """
    if sphere := _AMBISONIC.fullmatch(layout):  # full-sphere: (order + 1)² of them
        return (int(sphere["order"]) + 1) ** 2 + (_channels(sphere["rest"]) if sphere["rest"] else 0)
    if counted := re.match(r"(\d+) channels", layout):
        return int(counted[1])
    return _LAYOUT_CHANNELS.get(layout) or named_layouts().get(layout, 0)


@functools.cache
def named_layouts() -> dict[str, int]:
    """Return name → channels of each layout that this ffmpeg knows."""
    listed = ffmpeg.run(["-loglevel", "error", "-layouts"], what="-layouts").output.decode(errors="replace")
    rows = [line.split() for line in listed.partition("DECOMPOSITION")[2].splitlines()]
    return {row[0]: row[1].count("+") + 1 for row in rows if len(row) == 2}
