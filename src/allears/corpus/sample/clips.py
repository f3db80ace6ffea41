"""The sample's files and who makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from allears.types import Split

Format = Literal["wav", "flac", "mp3", "opus", "m4a", "mp4"]
Effect = Literal["none", "clipped", "silent", "upsampled", "truncated", "byte_copy", "lossless_copy", "lossy_copy"]
Sound = Literal["rain", "hum", "clicks", "chirps", "alarms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One file. `spoken` is what is said, `text` what the table claims; `copy_of` an earlier file of the same maker."""

    path: str
    format: Format
    rate_hz: int
    channels: int
    seed: int
    split: Split
    session: str
    licence: str = "CC0-1.0"
    effect: Effect = "none"
    spoken: str | None = None
    text: str | None = None
    label: str | None = None
    copy_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who or what makes some files: a speaker, or a kind of sound."""

    name: str
    clips: tuple[Clip, ...] = field(repr=False)
    sound: Sound | None = None
    language: str | None = None
    accent: str | None = None
    gender: str | None = None
    voice: str = ""
    pitch: int = 50
    rate: int = 165
    range: int = 50
    warp: float = 1.0  # of all frequencies, as a longer or shorter vocal tract does
    snr_db: float = 30.0


@dataclass(frozen=True, slots=True)
class Planted:
    """One row of the truth table."""

    path: str
    defect: str
    detail: str
