from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allears.audit.waveforms import Pair, compare
from allears.corpus.clips import ClipRef
from allears.storage.digest import file_digest


def recording(folder: Path, name: str, seed: int, gain: float = 1.0) -> Path:
    audio = np.random.default_rng(seed).normal(size=16_000) * 0.1 * gain
    soundfile.write(folder / name, audio, 16_000)
    return folder / name


def ref(file: Path, member: Path | None = None) -> ClipRef:
    digest = file_digest(member or file) if (member or file).exists() else "0" * 64
    size = (member or file).stat().st_size if (member or file).exists() else 1
    return ClipRef(f"{file.stem}-{member}", str(file), digest, None, 0.0, None, member.name if member else None, size)


def test_pairs_of_files_and_of_members_are_compared_and_journalled(tmp_path: Path) -> None:
    one, same, other = (
        recording(tmp_path, "one.wav", 0), recording(tmp_path, "same.flac", 0, 0.5), recording(tmp_path, "o.wav", 1),
    )  # fmt: skip
    archive = tmp_path / "some.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(same, same.name)
    pairs = [
        Pair(ref(one), ref(same)), Pair(ref(one), ref(other)),
        Pair(ref(archive, same), ref(one)), Pair(ref(other), ref(archive, same)),
    ]  # fmt: skip
    journal = tmp_path / "waveforms.jsonl"
    found = compare(pairs, journal, workers=1)
    assert found == pytest.approx([1.0, found[1], 1.0, found[3]], abs=0.01)
    assert max(found[1], found[3]) < 0.3
    for file in (one, same, other, archive):
        file.unlink()
    assert compare(pairs, journal, workers=1).tolist() == found.tolist()
    assert len(journal.read_text().splitlines()) == 3  # the same audio in and out of the archive is the same work


def test_a_recording_that_changed_or_left_is_told_by_no_number_and_tried_again(tmp_path: Path) -> None:
    one, other = recording(tmp_path, "one.wav", 0), recording(tmp_path, "other.wav", 1)
    pairs = [Pair(ref(one), ref(other))]
    recording(tmp_path, "other.wav", 2)
    other.write_bytes(other.read_bytes() + b"\0\0")
    journal = tmp_path / "waveforms.jsonl"
    assert np.isnan(compare(pairs, journal, workers=1)).all()
    other.unlink()
    assert np.isnan(compare(pairs, journal, workers=1)).all()
    assert [json.loads(line) for line in journal.read_text().splitlines()] == []
