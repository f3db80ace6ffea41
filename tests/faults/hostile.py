"""Recordings that mean harm: each a name, what writes it, and how it must end.

`expected` is the reason in the quarantine, the reason of the audit's failure (`failed_reason`) or "kept".
"""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from allears.audio import ffmpeg
from tests.long import LONG

KEPT = "kept"
RATE = 16_000
SILENCE_S = 3 * 3600 if LONG else 600


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies outside the corpus and must not come in: a recording, and an address that must not be called."""

    secret: Path
    address: str


Write = Callable[[Path, Surroundings], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile recording."""

    name: str
    expected: str
    write: Write


def noise(seconds: float = 1.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Faint noise [T, C]."""
    return np.random.default_rng(seed).normal(0, 0.1, (round(RATE * seconds), channels))


@cache
def encoded(kind: str, seconds: float = 2.0, seed: int = 1) -> bytes:
    """Noise in a format that libsndfile writes."""
    stream = io.BytesIO()
    soundfile.write(stream, noise(seconds, seed=seed), RATE, format=kind)
    return stream.getvalue()


def wav(
    data: bytes = encoded("WAV")[44:], *, tag: int = 1, channels: int = 1, rate: int = RATE, align: int | None = None,
    bits: int = 16, riff: int | None = None, size: int | None = None, before: bytes = b"",
) -> bytes:  # fmt: skip
    """A wav file whose header says what it is told to say."""
    align = channels * bits // 8 if align is None else align
    fmt = struct.pack("<HHIIHH", tag, channels, rate, (rate * align) & 0xFFFFFFFF, align, bits)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + before + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def floats(*values: float) -> bytes:
    """A float wav of noise in which these values stand."""
    audio = noise()[:, 0].astype("<f4")
    audio[1000 : 1000 + len(values)] = values
    return wav(audio.tobytes(), tag=3, bits=32)


def box(name: bytes, *inside: bytes) -> bytes:
    """A box of an mp4 file."""
    data = b"".join(inside)
    return struct.pack(">I", 8 + len(data)) + name + data


def mov(reference: bytes | None = None, *, scale: int = RATE, samples: int = RATE, delta: int = 1) -> bytes:
    """A QuickTime file of 16-bit PCM. `reference`: the entry of `dref`, None: the samples are in this file."""
    data = encoded("WAV")[44:]
    full = min(samples * delta, 0xFFFFFFFF)
    start = box(b"ftyp", b"qt  \0\0\2\0qt  ")
    mdat = box(b"mdat", data)
    zero = struct.pack(">I", 0)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    sound = struct.pack(">6xHHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, RATE << 16)
    table = box(
        b"stbl",
        box(b"stsd", zero, struct.pack(">I", 1), box(b"sowt", sound)),
        box(b"stts", zero, struct.pack(">3I", 1, samples, delta)),
        box(b"stsc", zero, struct.pack(">4I", 1, 1, samples, 1)),
        box(b"stsz", zero, struct.pack(">2I", 2, samples)),
        box(b"stco", zero, struct.pack(">2I", 1, len(start) + 8)),
    )
    dref = box(b"dref", zero, struct.pack(">I", 1), reference or box(b"url ", struct.pack(">I", 1)))
    minf = box(b"minf", box(b"smhd", zero, zero), box(b"dinf", dref), table)
    mdhd = box(b"mdhd", zero, struct.pack(">4I2H", 0, 0, scale, full, 0, 0))
    mdia = box(b"mdia", mdhd, box(b"hdlr", zero, b"mhlrsoun", bytes(13)), minf)
    tkhd = box(
        b"tkhd", struct.pack(">I", 7), struct.pack(">5I8x4H", 0, 0, 1, 0, full, 0, 0, 256, 0), matrix, zero, zero
    )
    mvhd = box(b"mvhd", zero, struct.pack(">4IIH10x", 0, 0, scale, full, 0x10000, 256), matrix, bytes(24), zero)
    return start + mdat + box(b"moov", mvhd, box(b"trak", tkhd, mdia))


def alias(path: Path) -> bytes:
    """A `dref` entry as the old Macintosh wrote it: the samples are in another file."""
    place = b"vol" + str(path).replace("/", ":").encode()
    place += bytes(len(place) % 2)
    entry = bytes(10) + b"\3vol" + bytes(24) + bytes(12) + b"\1x" + bytes(62) + bytes(16) + bytes(4) + bytes(16)
    entry += struct.pack(">HH", 2, len(place)) + place + struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", struct.pack(">I", 0), entry)


def nested(name: bytes, depth: int) -> bytes:
    """Boxes within boxes."""
    return b"".join(struct.pack(">I", 8 * (depth - i)) + name for i in range(depth))


def flac_of(samples: int) -> bytes:
    """A flac file whose header declares that many samples (36 bits)."""
    data = bytearray(encoded("FLAC"))
    (packed,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, (packed >> 36 << 36) | samples)
    return bytes(data)


def content(data: bytes | Callable[[], bytes]) -> Write:
    """Writes these bytes."""
    return lambda path, _: path.write_bytes(data if isinstance(data, bytes) else data()) and None


def text(template: str) -> Write:
    """Writes a text that names the secret (`{secret}`, from the corpus `{beside}`) or the address (`{address}`)."""

    def write(path: Path, around: Surroundings) -> None:
        beside = os.path.relpath(around.secret, path.parent)
        path.write_text(template.format(secret=around.secret, beside=beside, address=around.address))

    return write


def silence(path: Path, _: Surroundings) -> None:
    """Hours of nothing in a few kB."""
    soundfile.write(path, np.zeros(SILENCE_S * 8_000, np.int16), 8_000, format="FLAC")


def opus_silence(path: Path, _: Surroundings) -> None:
    source = path.with_name(".silence.wav")
    soundfile.write(source, np.zeros(SILENCE_S // 3 * 8_000, np.int16), 8_000)
    ffmpeg.convert(source, path, {"acodec": "libopus", "b:a": "6k", "dtx": 1})
    source.unlink()


def wide(path: Path, _: Surroundings) -> None:
    """Twelve seconds in 64 channels at 192 kHz: 0.6 GB as float32, no room on the disk."""
    size = 12 * 64 * 192_000
    path.write_bytes(wav(b"", channels=64, rate=192_000, bits=8, size=size, riff=36 + size))
    os.truncate(path, 44 + size)


def zipped(path: Path, _: Surroundings) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(20_000_000))


def unix_socket(path: Path, _: Surroundings) -> None:
    """The path of a socket may have 108 characters."""
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def zeros_without_end(path: Path, _: Surroundings) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0) + bytes(4)
DOCUMENT = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file://{secret}'>]>"
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls-beside": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{beside}\n#EXT-X-ENDLIST\n",
    "hls-url": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n",
    "hls-concat": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nconcat:{secret}|{secret}\n#EXT-X-ENDLIST\n",
    "hls-subfile": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nsubfile,,start,0,end,999,,:{secret}\n",
    "pls": "[playlist]\nFile1={secret}\nLength1=-1\nNumberOfEntries=1\nVersion=2\n",
    "ffconcat": "ffconcat version 1.0\nfile '{secret}'\n",
    "ffmetadata": ";FFMETADATA1\ntitle={secret}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\na=control:rtsp://{address}/\n",
    "svg": DOCUMENT
    + "<svg xmlns='http://www.w3.org/2000/svg'><image href='http://{address}/x'/><text>&e;</text></svg>",
    "dash": DOCUMENT + "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><AdaptationSet mimeType='audio/mp4'>"
    "<Representation id='1'><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "asx": "<asx version='3.0'><entry><ref href='http://{address}/a.mp3'/><ref href='file://{secret}'/></entry></asx>",
    "xspf": "<playlist version='1'><trackList><track><location>{secret}</location></track></trackList></playlist>",
    "imf": DOCUMENT + "<CompositionPlaylist><Id>urn:uuid:0</Id></CompositionPlaylist>",
    "rtsptext": "RTSPtextRTSP://{address}/a\n",
}

CASES: tuple[Case, ...] = (
    # Lead elsewhere
    *(Case(f"{name}.wav", "not_audio", text(template)) for name, template in PLAYLISTS.items()),
    Case("playlist.mp3", "not_audio", text(PLAYLISTS["hls"])),
    Case(
        "dref-url.mov",
        KEPT,
        lambda p, s: p.write_bytes(mov(box(b"url ", bytes(4), f"file://{s.secret}\0".encode()))) and None,
    ),
    Case("dref-alias.mov", "empty", lambda p, s: p.write_bytes(mov(alias(s.secret))) and None),
    # No files
    Case("pipe.wav", "not_a_file", lambda p, _: os.mkfifo(p)),
    Case("socket.wav", "unreadable", unix_socket),
    Case("zero.wav", "not_a_file", zeros_without_end),
    Case("loop.wav", "unreadable", lambda p, _: p.symlink_to(p.name)),
    # Bombs
    Case("silence.flac", KEPT, silence),
    Case("silence.opus", KEPT, opus_silence),
    Case("wide.wav", "too_long", wide),
    Case("hundred-hours.mov", "implausible", content(mov(scale=1000, delta=22_500))),
    Case("flac-2-36.flac", "implausible", content(flac_of(2**36 - 1))),
    Case("stsz.mov", "too_short", content(mov(samples=0xFFFFFFFF))),
    Case("boxes.mp4", "not_audio", content(box(b"ftyp", b"isom\0\0\2\0isom") + nested(b"moov", 100_000))),
    Case("id3-100-mb.mp3", "not_audio", content(b"ID3\4\0\0\x2f\x57\x08\0" + bytes(2_000))),
    Case(
        "compressed-text.mp3", "not_audio", content(b"ID3\4\0\0" + b"\0\0\x7f\x7f" + zlib.compress(bytes(10_000_000)))
    ),
    # Lying headers
    Case("rate-0.wav", "not_audio", content(wav(rate=0))),
    Case("rate-1.wav", "implausible", content(wav(rate=1))),
    Case("rate-10-mhz.wav", "implausible", content(wav(rate=10_000_000))),
    Case("channels-0.wav", "unreadable", content(wav(channels=0, align=2))),
    Case("channels-64.wav", KEPT, content(wav(noise(0.5, 64).astype("<i2").tobytes(), channels=64))),
    Case("channels-65535.wav", "undecodable", content(wav(channels=65_535, align=2))),
    Case("align-0.wav", KEPT, content(wav(align=0))),
    Case("bits-0.wav", "undecodable", content(wav(bits=0, align=2))),
    Case("bits-7.wav", KEPT, content(wav(bits=7, align=2))),
    Case("format-unknown.wav", "undecodable", content(wav(tag=0x1234))),
    Case("size-0.wav", KEPT, content(wav(size=0, riff=0))),
    Case("size-streamed.wav", KEPT, content(wav(size=0xFFFFFFFF, riff=0xFFFFFFFF))),
    Case("size-thrice.wav", KEPT, content(wav(size=3 * 64_000))),
    Case("size-2-gb.wav", "implausible", content(wav(size=0x7FFFFFFF))),
    Case("chunk-before.wav", "not_audio", content(wav(before=b"LIST\xff\xff\xff\xff"))),
    Case("no-data.wav", "not_audio", content(wav()[:36])),
    Case("flac-0.flac", KEPT, content(flac_of(0))),
    # Samples that are no numbers
    Case("nan.wav", "not_finite", content(floats(float("nan")))),
    Case("inf.wav", "not_finite", content(floats(float("inf")))),
    Case("huge.wav", "not_finite", content(floats(1e30, -3e38))),
    # Something else under the name of audio
    Case("zip.wav", "not_audio", zipped),
    Case("png.wav", "not_audio", content(PNG + bytes(5_000))),
    Case("html.wav", "not_audio", content(b"<html><script>alert(1)</script></html>" * 50)),
    Case("elf.wav", "not_audio", content(lambda: Path("/bin/sh").read_bytes()[:50_000])),
    Case("zeros.wav", "not_audio", content(bytes(100_000))),
    Case("random.mp3", "not_audio", content(np.random.default_rng(3).bytes(50_000))),
    Case("empty.wav", "zero_byte", content(b"")),
    # Cut off
    Case("cut-12.wav", "not_audio", content(wav()[:12])),
    Case("cut-20.flac", "not_audio", content(encoded("FLAC")[:20])),
    Case("cut-half.flac", KEPT, content(encoded("FLAC")[: len(encoded("FLAC")) // 2])),
    Case("cut-100.ogg", "not_audio", content(encoded("OGG")[:100])),
    Case("cut-half.ogg", KEPT, content(encoded("OGG", 30.0)[: len(encoded("OGG", 30.0)) // 2])),
    Case("cut-half.mp3", KEPT, content(encoded("MP3")[: len(encoded("MP3")) // 2])),
    Case("cut.mov", "not_audio", content(mov()[:40_000])),
    Case("two-oggs.ogg", KEPT, content(encoded("OGG") + encoded("OGG", 1.0, 5))),
)
