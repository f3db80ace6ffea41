"""ffmpeg under guard: the only user of ffmpeg. ffmpeg-python compiles the arguments, we run them ourselves.

Recordings are untrusted input, so every run has stdin closed, a wall clock that kills its whole process group, a CPU
limit and a memory limit, a cap on what it may write, local files as its only protocol, and a list of the containers
it may open (playlists, devices, image sequences and text are not on it).
"""

from __future__ import annotations

import contextlib
import functools
import os
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
from allears.frames import to_samples

CONTAINERS: tuple[str, ...] = tuple(
    "aac ac3 aiff amr amrnb amrwb ape asf au avi caf dsf dts eac3 flac flv gsm iff ircam loas matroska webm mov mp4 m4a"  # noqa: SIM905
    " 3gp 3g2 mj2 mp3 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma qcp rm shn sox spdif swf tak tta voc vqf w64 wav"
    " wsd wtv wv xwma".split()
)
PROTOCOLS = "file,pipe"
TIMEOUT_S = 120.0
PASSED_S_PER_S = 50.0  # seconds of audio that the slowest decoders pass over in one second, on a busy machine …
PASSED_BYTES_PER_S = 100_000  # … and bytes of a file
MEMORY_BYTES = 2 << 30
MAX_OUTPUT_BYTES = 512 << 20
MAX_MEASURED_S = 7 * 24 * 3600.0
TOGETHER = 16  # files a process; starting it costs as much as reading 10 headers or decoding 2 clips of some seconds
TOGETHER_TIMEOUT_S = 30.0
TOGETHER_BYTES = 256 << 20
_STDERR_BYTES = 64 << 10
_AU_HEADER_BYTES = 24
QUIET = ("-loglevel", "error")


Samples = tuple[npt.NDArray[np.float32], int]  # [T, channels] and their rate
Pipe = tuple[BinaryIO, BinaryIO]  # the end to read from and the end to write to
Taken = TypeVar("Taken")


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
    take: Callable[[bytearray], bool] = lambda _: False,
) -> Finished:
    """Run ffmpeg with `arguments`, guarded. It may write to stdout and to `pipes`.

    `take` gets all of stdout so far whenever more has come; it may shorten it, and ends the run by returning True.

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
        readers = [read for read, _ in pipes]
        (output, *piped), log = _collect(process, readers, deadline, max_output_bytes, what, take)
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


def measured_s(path: Path) -> float:
    """Return the length of the first audio stream when it is decoded, up to MAX_MEASURED_S; no samples are kept.

    Raises AudioError as `decode`.
    """
    window = _Window(MAX_MEASURED_S, MAX_MEASURED_S)
    timeout_s = TIMEOUT_S + path.stat().st_size / PASSED_BYTES_PER_S
    finished = run([*QUIET, *_sample_arguments(path)], timeout_s=timeout_s, what=path.name, take=window)
    if window.rate_hz == 0:
        raise _undecoded(finished, path)
    return window.frames / window.rate_hz


def decode(
    path: Path, start_s: float = 0.0, end_s: float | None = None, *, max_s: float = 3600.0, timeout_s: float = TIMEOUT_S
) -> Samples:
    """Return the first audio stream from `start_s` to `end_s`: float32 [T, channels] at its own rate, and that rate.

    It is decoded from its beginning and cut by counting samples. Timestamps are not used: they may start late, jump,
    and begin anew in each part of a joined file. `timeout_s` is for the piece; what is before it has more time.
    Raises AudioError: `not_audio`, `undecodable`, `too_long` (more than `max_s`), `timeout`.
    """
    window = _Window(start_s, start_s + max_s + 1.0 if end_s is None else end_s)
    timeout_s += start_s / PASSED_S_PER_S
    finished = run([*QUIET, *_sample_arguments(path)], timeout_s=timeout_s, what=path.name, take=window)
    return samples_of(finished, path, max_s=max_s)


def samples_of(finished: Finished, path: Path, *, max_s: float) -> Samples:
    """Return the samples that a run wrote to stdout as `au`. AudioError as `decode`."""
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
    return together(paths, functools.partial(_decode_all, max_s=max_s))


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
    finished = run([*QUIET, "-y", *sink.get_args()], what=target.name)
    if finished.code != 0:
        raise AudioError("unwritable", f"{target}: ffmpeg could not write it ({last_line(finished.log)})")


_INPUT_OPTIONS = {"protocol_whitelist": PROTOCOLS, "format_whitelist": ",".join(CONTAINERS)}


def _ffmpeg() -> Any:
    import ffmpeg

    return ffmpeg


def _url(path: Path) -> str:
    return f"file:{path.absolute()}"  # a name that begins with '-' stays a name


class _Window:
    """Keep the samples from `start_s` to `end_s` of a growing `au` stream, by counting them.

    A filter of ffmpeg could not: it begins anew where the rate or the channels of a stream change.
    """

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._dropped = 0  # bytes
        self.rate_hz = 0
        self.frames = 0  # up to now, those before `start_s` too

    def __call__(self, output: bytearray) -> bool:
        if len(output) < _AU_HEADER_BYTES:
            return False
        offset, self.rate_hz, channels = _au_header(output)
        size = 4 * channels
        begin, end = (size * to_samples(seconds, self.rate_hz) for seconds in (self._start_s, self._end_s))
        seen = self._dropped + max(len(output) - offset, 0)
        self.frames = seen // size
        if self._dropped < begin and seen > self._dropped:
            dropped = min(begin, seen) - self._dropped
            del output[offset : offset + dropped]
            self._dropped += dropped
        if seen < end:
            return False
        del output[offset + end - begin :]
        return True


def together(paths: Sequence[Path], take: Callable[[Sequence[Path]], dict[Path, Taken] | None]) -> dict[Path, Taken]:
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
    return together(paths[:half], take) | together(paths[half:], take)


def _decode_all(paths: Sequence[Path], max_s: float) -> dict[Path, Samples] | None:
    tool, pipes, sinks = _ffmpeg(), [], []
    with contextlib.ExitStack() as stack:
        for path in paths:
            read, write = os.pipe()
            pipes.append((stack.enter_context(os.fdopen(read, "rb")), stack.enter_context(os.fdopen(write, "wb"))))
            sinks.append(_sample_output(path, f"pipe:{write}"))
        arguments = [*QUIET, *tool.merge_outputs(*sinks).get_args()]
        finished = run(arguments, timeout_s=TOGETHER_TIMEOUT_S, max_output_bytes=TOGETHER_BYTES, pipes=pipes)
    if finished.code != 0 or finished.log:
        return None  # it does not say reliably of which file it complains
    found = {path: _parse_au(output) for path, output in zip(paths, finished.piped, strict=True)}
    return {path: given for path, given in found.items() if given is not None and len(given[0]) <= max_s * given[1]}


def _sample_output(path: Path, url: str) -> Any:
    stream = _ffmpeg().input(_url(path), **_INPUT_OPTIONS)["a:0"]
    return stream.output(url, format="au", acodec="pcm_f32be", flush_packets=0, threads=1, vn=None, sn=None, dn=None)


def _sample_arguments(path: Path) -> list[str]:
    arguments: list[str] = _sample_output(path, "pipe:").get_args()
    return arguments


def input_arguments(path: Path) -> list[str]:
    """Return the arguments by which ffmpeg opens `path`, under guard."""
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
    process: subprocess.Popen[bytes], readers: Sequence[BinaryIO], deadline: float, cap: int, what: str,
    take: Callable[[bytearray], bool],
) -> tuple[list[bytearray], str]:  # fmt: skip
    """Return what `take` leaves of stdout, all of `readers`, up to `cap`, and the end of stderr, read as they come."""
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
                if key.data is outputs[0] and take(outputs[0]):
                    process.kill()
                    return outputs, log.decode(errors="replace")
            del log[:-_STDERR_BYTES]
            if sum(map(len, outputs)) > cap:
                raise AudioError("too_long", f"{what}: decodes to more than {cap >> 20} MB; it was stopped there")
    return outputs, log.decode(errors="replace")


def _parse_au(output: bytearray) -> Samples | None:
    """Return float32 [T, channels] of Sun's au format, or None where not even a header came."""
    if len(output) < _AU_HEADER_BYTES:
        return None
    offset, rate, channels = _au_header(output)
    frames = max(len(output) - offset, 0) // (4 * channels)
    samples = np.frombuffer(output, dtype=">u4", count=frames * channels, offset=offset)
    return samples.byteswap(inplace=True).view("<f4").reshape(frames, channels), rate


def _au_header(output: bytearray) -> tuple[int, int, int]:
    """Return where the samples begin, their rate and the number of channels (six big-endian numbers)."""
    _, offset, _, _, rate, channels = np.frombuffer(output[:_AU_HEADER_BYTES], dtype=">u4").tolist()
    return offset, rate, channels


def _undecoded(finished: Finished, path: Path) -> AudioError:
    known = "matches no streams" in finished.log or "Invalid data" in finished.log
    reason = "not_audio" if known else "undecodable"
    return AudioError(reason, f"{path.name}: ffmpeg cannot decode it ({last_line(finished.log)})")


def last_line(log: str) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and "At least one output" not in line]
    return lines[-1] if lines else "no message"
