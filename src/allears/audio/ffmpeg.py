"""ffmpeg under guard: the only user of ffmpeg. ffmpeg-python compiles the arguments, we run them ourselves.

Recordings are untrusted input, so every run has stdin closed, a wall clock that kills its whole process group, a CPU
limit and a memory limit, a cap on what it may write, local files as its only protocol, and a list of the containers
it may open (playlists, devices, image sequences and text are not on it).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from allears.errors import AudioError, PassingError

CONTAINERS: tuple[str, ...] = tuple(
    "aac ac3 aiff amr amrnb amrwb ape asf au avi caf dsf dts eac3 flac flv gsm iff ircam loas matroska webm mov mp4 m4a"  # noqa: SIM905
    " 3gp 3g2 mj2 mp3 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma qcp rm shn sox spdif swf tak tta voc vqf w64 wav"
    " wsd wtv wv xwma".split()
)
PROTOCOLS = "file,pipe"
TIMEOUT_S = 120.0
MEMORY_BYTES = 2 << 30
MAX_OUTPUT_BYTES = 512 << 20
MAX_MEASURED_S = 7 * 24 * 3600.0
TOGETHER = 16  # files a process; starting it costs as much as reading 10 headers or decoding 2 clips of some seconds
TOGETHER_TIMEOUT_S = 30.0
TOGETHER_BYTES = 256 << 20
_STDERR_BYTES = 64 << 10
_SEEK_PREROLL_S = 1.0  # decoders need a run-up: Opus 80 ms, mp3 some frames, AAC two
_INPUT = re.compile(r"^Input #(\d+), ", re.MULTILINE)
_STREAM = re.compile(
    r"^ +Stream #(?P<input>\d+):\d+.*?: Audio: (?P<codec>\w+).*?, (?P<rate>\d+) Hz, (?P<layout>[^,\n]+)", re.MULTILINE
)
_DURATION = re.compile(r"^ +Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_PROGRESS = re.compile(rb"^out_time_us=(\d+)$", re.MULTILINE)
_LAYOUT_CHANNELS = {"mono": 1, "stereo": 2}  # nearly all there are; for others ffmpeg is asked
_AMBISONIC = re.compile(r"ambisonic (?P<order>\d+)(?:\+(?P<rest>.+))?")


Samples = tuple[npt.NDArray[np.float32], int]  # [T, channels] and their rate
Pipe = tuple[BinaryIO, BinaryIO]  # the end to read from and the end to write to
Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What ffmpeg reads from a header. `duration_s` is what the container declares, None when it does not."""

    codec: str
    sample_rate_hz: int
    channels: int
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a guarded run left: exit code, stdout, the last lines of stderr and what came through further pipes."""

    code: int
    output: bytearray
    log: str
    piped: Sequence[bytearray] = ()


@functools.cache
def executable() -> str:
    """The ffmpeg that came with the installation (or `IMAGEIO_FFMPEG_EXE`)."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run(
    arguments: list[str],
    *,
    timeout_s: float = TIMEOUT_S,
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    what: str = "",
    pipes: Sequence[Pipe] = (),
) -> Finished:
    """Run ffmpeg with `arguments`, guarded. It may write to stdout and to `pipes`.

    Raises AudioError with reason `too_long` (wrote more than `max_output_bytes`), PassingError with `timeout`; what
    ffmpeg itself failed in is the caller's to judge by `code`. Its process group is gone when this returns, whatever
    happened.
    """
    command = [executable(), "-nostdin", "-hide_banner", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        pass_fds=[write.fileno() for _, write in pipes],
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},  # else each thread reserves 64 MB of the address space that it has
    )  # fmt: skip
    try:
        _limit(process.pid, timeout_s)
        for _, write in pipes:
            write.close()
        deadline = time.monotonic() + timeout_s
        (output, *piped), log = _collect(process, [read for read, _ in pipes], deadline, max_output_bytes, what)
        return Finished(process.wait(timeout=timeout_s), output, log, piped)
    except subprocess.TimeoutExpired:
        raise PassingError("timeout", f"{what}: ffmpeg did not end within {timeout_s:g} s and was stopped") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def probe(path: Path, *, timeout_s: float = 30.0) -> StreamFacts:
    """Codec, rate, channels and declared duration of the first audio stream.

    Raises AudioError: `not_audio` when there is no audio stream or no known container, `unreadable` when the stream
    has no usable facts.
    """
    return _facts(run(_input_arguments(path), timeout_s=timeout_s, what=path.name).log, path)


def probe_together(paths: Sequence[Path]) -> dict[Path, StreamFacts]:
    """What `probe` gives for each, at an eighth of its price; who is missing has to be probed alone."""
    return _together(paths, _probe_all)


def measured_s(path: Path) -> float:
    """How long the first audio stream lasts when it is decoded, up to MAX_MEASURED_S; its samples are not kept.

    They are counted: timestamps begin anew in each part of a joined file. Raises AudioError as `decode`.
    """
    stream = _by_count(_ffmpeg().input(_url(path), **_INPUT_OPTIONS)["a:0"])
    sink = stream.output("-", format="null", t=MAX_MEASURED_S, threads=1)
    finished = run([*_QUIET, "-nostats", "-progress", "pipe:1", *sink.get_args()], what=path.name)
    if finished.code != 0:
        raise _undecoded(finished, path)
    ends = _PROGRESS.findall(finished.output)
    return int(ends[-1]) / 1e6 if ends else 0.0


def decode(
    path: Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    max_s: float = 3600.0,
    timeout_s: float = TIMEOUT_S,
    joined: bool = False,
) -> Samples:
    """The first audio stream from `start_s` to `end_s`: float32 [T, channels] at its own rate, and that rate.

    It decodes from a second before `start_s` and cuts by timestamp: exact for PCM, Opus, Vorbis and AAC; containers
    that keep milliseconds (Matroska) are within 1 ms, mp3 within its encoder delay (25 ms), ASF within 100 ms.
    What is `joined` of several recordings is decoded from its beginning and cut by counting samples.
    Raises AudioError: `not_audio`, `undecodable`, `too_long` (more than `max_s`), `timeout`.
    """
    cut: dict[str, float] = {"start": start_s} if start_s > 0 else {}
    if end_s is not None:
        cut["end"] = end_s
    before_s = start_s - _SEEK_PREROLL_S  # at the very start there is no seeking: it would skip the encoder's delay
    options: dict[str, Any] = {"ss": before_s, "copyts": None} if before_s > 0 and not joined else {}
    stream = _ffmpeg().input(_url(path), **_INPUT_OPTIONS, **options)["a:0"]
    if joined:
        stream = _by_count(stream)
    if cut:
        stream = stream.filter("atrim", **cut).filter("asetpts", "PTS-STARTPTS")
    sink = _sample_output(stream, "pipe:", max_s)
    finished = run([*_QUIET, *sink.get_args()], timeout_s=timeout_s, what=path.name)
    found = _parse_au(finished.output)
    if found is None:
        raise _undecoded(finished, path)
    audio, rate = found
    if audio.shape[0] > max_s * rate:
        raise AudioError("too_long", f"{path.name}: over {max_s:g} s in one piece; cut it by `ingest.segment=fixed`")
    return audio, rate


def decode_together(paths: Sequence[Path], *, max_s: float = 3600.0) -> dict[Path, Samples]:
    """What `decode` gives for each (whole), bit for bit, at less than half its price for clips of some seconds; who is
    missing has to be decoded alone.
    """
    return _together(paths, functools.partial(_decode_all, max_s=max_s))


def convert(source: Path, target: Path, options: Mapping[str, Any], *, picture_s: float | None = None) -> None:
    """Encode `source` into `target` with ffmpeg's output `options`; the same bytes every time on one CPU type.

    `picture_s` adds a small still video of that length. Raises AudioError `unwritable` with ffmpeg's own words.
    """
    tool = _ffmpeg()
    streams = [tool.input(_url(source), **_INPUT_OPTIONS)["a:0"]]
    if picture_s is not None:
        streams.append(tool.input(f"color=c=navy:s=64x48:r=2:d={picture_s:.3f}", format="lavfi")["v:0"])
        options = {"vcodec": "mpeg4", **options}
    exact: dict[str, Any] = {"threads": 1, "fflags": "+bitexact", "flags:a": "+bitexact", "flags:v": "+bitexact"}
    sink = tool.output(*streams, _url(target), map_metadata=-1, **exact, **options)
    finished = run([*_QUIET, "-y", *sink.get_args()], what=target.name)
    if finished.code != 0:
        raise AudioError("unwritable", f"{target}: ffmpeg could not write it ({_last_line(finished.log)})")


_QUIET = ("-loglevel", "error")
_INPUT_OPTIONS = {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join(CONTAINERS)}


def _ffmpeg() -> Any:
    import ffmpeg

    return ffmpeg


def _url(path: Path) -> str:
    return f"file:{path.absolute()}"  # a name that begins with '-' stays a name


def _by_count(stream: Any) -> Any:
    """The stream with the number of samples before each frame as its timestamp, in units of a sample."""
    return stream.filter("asettb", "1/sr").filter("asetpts", "N")


def _together(paths: Sequence[Path], take: Callable[[Sequence[Path]], dict[Path, Taken] | None]) -> dict[Path, Taken]:
    """What `take` gives for some paths in one process; when there is anything wrong (None, AudioError) for each half,
    so that a bad file costs a few processes and changes nothing of the others.
    """
    if len(paths) < 2:
        return {}
    try:
        found = take(paths) if len(paths) <= TOGETHER else None
    except AudioError:  # time or bytes of all together; alone each may have as much
        found = None
    if found is not None:
        return found
    half = len(paths) // 2
    return _together(paths[:half], take) | _together(paths[half:], take)


def _probe_all(paths: Sequence[Path]) -> dict[Path, StreamFacts] | None:
    arguments = [argument for path in paths for argument in _input_arguments(path)]
    log = run(arguments, timeout_s=TOGETHER_TIMEOUT_S).log
    begins = list(_INPUT.finditer(log))
    if [begin[1] for begin in begins] != [str(number) for number in range(len(paths))]:
        return None  # one of them cannot be opened, or names and tags in it feign an input
    ends = [begin.start() for begin in begins[1:]] + [len(log)]
    found = {}
    for number, (path, begin, end) in enumerate(zip(paths, begins, ends, strict=True)):
        with contextlib.suppress(AudioError):
            found[path] = _facts(log[begin.start() : end], path, number)
    return found


def _facts(log: str, path: Path, number: int = 0) -> StreamFacts:
    """What the log says of input `number`; AudioError as `probe`."""
    stream = next((each for each in _STREAM.finditer(log) if each["input"] == str(number)), None)
    if stream is None:
        raise AudioError("not_audio", f"{path.name}: no audio in it that ffmpeg can read ({_last_line(log)})")
    channels = _channels(stream["layout"].strip())
    rate = int(stream["rate"])
    if rate <= 0 or channels <= 0:
        raise AudioError("unreadable", f"{path.name}: its header declares {rate} Hz and '{stream['layout']}'")
    duration = _DURATION.search(log)
    seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else None
    return StreamFacts(stream["codec"], rate, channels, seconds)


def _decode_all(paths: Sequence[Path], max_s: float) -> dict[Path, Samples] | None:
    tool, pipes, sinks = _ffmpeg(), [], []
    with contextlib.ExitStack() as stack:
        for path in paths:
            read, write = os.pipe()
            pipes.append((stack.enter_context(os.fdopen(read, "rb")), stack.enter_context(os.fdopen(write, "wb"))))
            sinks.append(_sample_output(tool.input(_url(path), **_INPUT_OPTIONS)["a:0"], f"pipe:{write}", max_s))
        arguments = [*_QUIET, *tool.merge_outputs(*sinks).get_args()]
        finished = run(arguments, timeout_s=TOGETHER_TIMEOUT_S, max_output_bytes=TOGETHER_BYTES, pipes=pipes)
    if finished.code != 0 or finished.log:
        return None  # it does not say reliably of which file it complains
    found = {path: _parse_au(output) for path, output in zip(paths, finished.piped, strict=True)}
    return {path: given for path, given in found.items() if given is not None and len(given[0]) <= max_s * given[1]}


def _sample_output(stream: Any, url: str, max_s: float) -> Any:
    return stream.output(url, format="au", acodec="pcm_f32be", t=max_s + 1.0, threads=1, vn=None, sn=None, dn=None)


def _input_arguments(path: Path) -> list[str]:
    sink = _ffmpeg().input(_url(path), **_INPUT_OPTIONS).output("pipe:")
    arguments: list[str] = sink.get_args()
    return arguments[: arguments.index("-i") + 2]


def _limit(pid: int, timeout_s: float) -> None:
    """CPU seconds and address space of a process that was just started (Linux; elsewhere the wall clock must do)."""
    if not hasattr(resource, "prlimit"):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        cpu_s = int(timeout_s) + 5
        resource.prlimit(pid, resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _collect(
    process: subprocess.Popen[bytes], readers: Sequence[BinaryIO], deadline: float, cap: int, what: str
) -> tuple[list[bytearray], str]:
    """All of stdout and of `readers` up to `cap`, and the end of stderr, read as they come."""
    sources = [process.stdout or -1, *readers]
    outputs, log = [bytearray() for _ in sources], bytearray()
    with selectors.DefaultSelector() as selector:
        for source, output in zip(sources, outputs, strict=True):
            selector.register(source, selectors.EVENT_READ, output)
        selector.register(process.stderr or -1, selectors.EVENT_READ, log)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0.0))
            if not ready:
                raise subprocess.TimeoutExpired(process.args, 0.0)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 20)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            del log[:-_STDERR_BYTES]
            if sum(map(len, outputs)) > cap:
                raise AudioError("too_long", f"{what}: decodes to more than {cap >> 20} MB; it was stopped there")
    return outputs, log.decode(errors="replace")


def _parse_au(output: bytearray) -> Samples | None:
    """float32 [T, channels] of Sun's au format (24 bytes of big-endian header, RFC 2586's successor of audio/basic), or
    None where not even a header came.
    """
    if len(output) < 24:
        return None
    _, offset, _, _, rate, channels = np.frombuffer(output, dtype=">u4", count=6).tolist()
    frames = (len(output) - offset) // (4 * channels)
    samples = np.frombuffer(output, dtype=">u4", count=frames * channels, offset=offset)
    return samples.byteswap(inplace=True).view("<f4").reshape(frames, channels), rate


def _undecoded(finished: Finished, path: Path) -> AudioError:
    known = "matches no streams" in finished.log or "Invalid data" in finished.log
    reason = "not_audio" if known else "undecodable"
    return AudioError(reason, f"{path.name}: ffmpeg cannot decode it ({_last_line(finished.log)})")


def _channels(layout: str) -> int:
    """Of a layout as ffmpeg writes it: `5.1(side)`, `3 channels (FL+FR+LFE)`, `ambisonic 1+stereo`; 0: unknown."""
    if sphere := _AMBISONIC.fullmatch(layout):  # full-sphere: (order + 1)² of them
        return (int(sphere["order"]) + 1) ** 2 + (_channels(sphere["rest"]) if sphere["rest"] else 0)
    if counted := re.match(r"(\d+) channels", layout):
        return int(counted[1])
    return _LAYOUT_CHANNELS.get(layout) or named_layouts().get(layout, 0)


@functools.cache
def named_layouts() -> dict[str, int]:
    """Name → channels of each layout that this ffmpeg knows."""
    listed = run(["-loglevel", "error", "-layouts"], what="-layouts").output.decode(errors="replace")
    rows = [line.split() for line in listed.partition("DECOMPOSITION")[2].splitlines()]
    return {row[0]: row[1].count("+") + 1 for row in rows if len(row) == 2}


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip() and "At least one output" not in line]
    return lines[-1] if lines else "no message"
