"""Plant defects into planned clips, and write down where: the audit is scored against that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from allears.corpus.sample.clips import Clip, Effect, Format, Maker, Planted
from allears.corpus.sample.sentences import sentence

# how many in 45 minutes; a smaller sample has fewer, two at least
COUNTS = {
    "byte_duplicate": 6, "reencoded_duplicate": 8, "clipped": 8, "silent": 6, "upsampled": 8, "truncated": 6,
    "swapped_text": 8, "licence_denied": 6, "licence_unknown": 6, "speaker_leak": 3,
}  # fmt: skip
_FULL_MINUTES = 45.0
DENIED = "CC-BY-NC-ND-4.0"
_LOSSLESS: tuple[tuple[Format, int], ...] = (("wav", 48_000), ("flac", 16_000), ("wav", 16_000), ("flac", 48_000))
_CUT: tuple[tuple[Format, int], ...] = (("wav", 16_000), ("flac", 48_000), ("mp3", 44_100))


class _Garden:
    """The clips of all makers, with what was planted so far; every clip is hit once at most."""

    def __init__(self, makers: Sequence[Maker], rng: np.random.Generator) -> None:
        self.clips = {clip.path: clip for maker in makers for clip in maker.clips}
        self.language = {clip.path: maker.language or "en" for maker in makers for clip in maker.clips}
        self.copies: dict[str, list[Clip]] = {}
        self.truth: list[Planted] = []
        self._free = [path for path, clip in self.clips.items() if clip.format != "mp4"]
        rng.shuffle(self._free)
        self.rng = rng

    def take(self, count: int, *, forms: tuple[str, ...] = ()) -> Iterator[Clip]:
        """The next `count` clips that nothing was done to (of these formats)."""
        chosen = [path for path in self._free if not forms or self.clips[path].format in forms][:count]
        for path in chosen:
            self._free.remove(path)
            yield self.clips[path]

    def change(self, clip: Clip, defect: str, detail: str, **changes: object) -> None:
        """Replace `clip` by one with `changes` and note it; a new format renames it."""
        changed = replace(clip, **changes)  # type: ignore[arg-type]
        changed = replace(changed, path=f"{clip.path.rpartition('.')[0]}.{changed.format}")
        self.clips[clip.path] = changed
        self.truth.append(Planted(changed.path, defect, detail))

    def copy(self, clip: Clip, defect: str, effect: Effect, form: Format, detail: str) -> None:
        """Add a copy of `clip` beside it."""
        path = f"{clip.path.rpartition('.')[0]}b.{form}"
        copied = replace(clip, path=path, format=form, effect=effect, copy_of=clip.path)
        self.copies.setdefault(clip.path, []).append(copied)
        self.truth.append(Planted(path, defect, f"{detail} of {clip.path}"))


def plant(makers: Sequence[Maker], *, minutes: float, seed: int) -> tuple[tuple[Maker, ...], tuple[Planted, ...]]:
    """`makers` with defects in some of their clips, and the truth about them."""
    garden = _Garden(makers, np.random.default_rng([seed, 2_000_000]))
    count = {name: max(2, round(number * minutes / _FULL_MINUTES)) for name, number in COUNTS.items()}
    _spoil(garden, count)
    _mislabel(garden, count)
    _duplicate(garden, count)
    _leak(garden, makers, count["speaker_leak"])
    dominant = makers[0].accent or ""
    garden.truth.append(Planted("", "dominant_accent", dominant))
    planted = tuple(
        replace(
            maker,
            clips=tuple(
                c for clip in maker.clips for c in (garden.clips[clip.path], *garden.copies.get(clip.path, ()))
            ),
        )
        for maker in makers
    )
    return planted, tuple(garden.truth)


def _spoil(garden: _Garden, count: dict[str, int]) -> None:
    """Clipped, silent, upsampled and truncated files."""
    for i, clip in enumerate(garden.take(count["clipped"])):
        form, rate = _LOSSLESS[i % len(_LOSSLESS)]  # a lossy codec would round the flat tops
        garden.change(clip, "clipped", "gain 12 dB over full scale", effect="clipped", format=form, rate_hz=rate)
    for clip in garden.take(count["silent"]):
        garden.change(clip, "silent", "no speech in it", effect="silent")
    for i, clip in enumerate(garden.take(count["upsampled"])):
        form, rate = _LOSSLESS[i % len(_LOSSLESS)]
        garden.change(clip, "upsampled", f"8000 Hz stored as {rate}", effect="upsampled", format=form, rate_hz=rate)
    for i, clip in enumerate(garden.take(count["truncated"])):
        form, rate = _CUT[i % len(_CUT)]
        said = sentence(garden.language[clip.path], clip.label or "", garden.rng, long=True)
        garden.change(
            clip, "truncated", "the second half of the file is gone", effect="truncated", format=form, rate_hz=rate,
            channels=1, spoken=said, text=said,
        )  # fmt: skip


def _mislabel(garden: _Garden, count: dict[str, int]) -> None:
    """Another clip's text, a denied and an unknown licence."""
    swapped = list(garden.take(count["swapped_text"] // 2 * 2))
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        garden.change(one, "swapped_text", f"says: {one.text}", text=other.text)
        garden.change(other, "swapped_text", f"says: {other.text}", text=one.text)
    for clip in garden.take(count["licence_denied"]):
        garden.change(clip, "licence_denied", DENIED, licence=DENIED)
    for clip in garden.take(count["licence_unknown"]):
        garden.change(clip, "licence_unknown", "unknown", licence="unknown")


def _duplicate(garden: _Garden, count: dict[str, int]) -> None:
    """Files a second time: the same bytes, the same samples in another format, or another encoding."""
    for clip in garden.take(count["byte_duplicate"]):
        garden.copy(clip, "byte_duplicate", "byte_copy", clip.format, "the same bytes")
    half = count["reencoded_duplicate"] // 2
    for clip in garden.take(half, forms=("wav",)):
        garden.copy(clip, "reencoded_duplicate", "lossless_copy", "flac", "lossless")
    for clip in garden.take(half, forms=("wav", "flac")):
        garden.copy(clip, "reencoded_duplicate", "lossy_copy", "opus" if clip.format == "wav" else "m4a", "lossy")


def _leak(garden: _Garden, makers: Sequence[Maker], clips: int) -> None:
    """Some clips of one speaker of the training split are also in the test split."""
    maker = next(m for m in makers[1:] if m.clips[0].split == "train" and len(m.clips) > clips + 1)
    untouched = [clip for clip in maker.clips if garden.clips[clip.path] is clip and clip.path not in garden.copies]
    for clip in untouched[:clips]:
        garden.change(clip, "speaker_leak", f"speaker {maker.name} is in train", split="test")
