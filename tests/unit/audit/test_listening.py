from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.audit.listening import Studio, excerpts
from allears.corpus.clips import ClipRef
from allears.storage.digest import file_digest


@pytest.fixture
def refs(tmp_path: Path) -> list[ClipRef]:
    found = []
    for i in range(3):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(i).standard_normal(8_000), 16_000)
        found.append(ClipRef(f"c{i}", str(path), file_digest(path), None, 0.0, None))
    return found


def make(refs: list[ClipRef], tmp_path: Path, max_s: float = 12.0) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table and the files with the moment each was written."""
    studio = Studio(tmp_path / "audit_files", tmp_path / "exhibits.jsonl", max_s)
    table = excerpts(refs, studio, timeout_s=60.0, workers=1)
    return table, {path.name: path.stat().st_mtime_ns for path in studio.folder.iterdir()}


def test_nothing_is_made_twice_and_what_is_lost_again(refs: list[ClipRef], tmp_path: Path) -> None:
    first, files = make(refs, tmp_path)
    assert set(files) == {f"{name}{end}" for name in first["file"] for end in (".mp3", ".webp")}
    assert first["problem"].isna().all()
    again, same = make(refs, tmp_path)
    pd.testing.assert_frame_equal(again, first)
    assert same == files

    lost = f"{first['file'][1]}.webp"
    (tmp_path / "audit_files" / lost).unlink()
    (tmp_path / "audit_files" / f".{lost}.abcd.tmp").write_bytes(b"of a killed run")
    third, after = make(refs[1:], tmp_path)
    assert set(after) == {name for name in files if not name.startswith("c0")}
    assert {name for name in after if after[name] != files[name]} == {lost, lost.replace("webp", "mp3")}
    pd.testing.assert_frame_equal(third, first.iloc[1:].reset_index(drop=True))


def test_another_length_or_audio_has_another_name(refs: list[ClipRef], tmp_path: Path) -> None:
    whole, _ = make(refs, tmp_path)
    short, _ = make(refs, tmp_path, max_s=0.25)
    assert not set(short["file"]) & set(whole["file"])
    assert short["seconds"].tolist() == [0.25] * 3
    changed, _ = make([ref._replace(file_sha256="0" * 64) for ref in refs], tmp_path)
    assert not set(changed["file"]) & set(whole["file"])


def test_an_excerpt_is_the_beginning_of_its_clip_and_channel(tmp_path: Path) -> None:
    rate_hz = 16_000
    tone_T = 0.3 * np.sin(2 * np.pi * 2000 * np.arange(5 * rate_hz) / rate_hz)
    left_T = np.concatenate([np.zeros(5 * rate_hz), tone_T])
    path = tmp_path / "long.wav"
    soundfile.write(path, np.stack([left_T, np.zeros_like(left_T)], axis=1), rate_hz)
    refs = [
        ClipRef("to-the-end", str(path), "a" * 64, 0, 5.0, None),
        ClipRef("short", str(path), "a" * 64, 1, 9.0, 9.5),
    ]
    table, _ = make(refs, tmp_path, max_s=2.0)
    assert table["seconds"].tolist() == [2.0, 0.5]
    heard, rate = soundfile.read(tmp_path / "audit_files" / f"{table['file'][0]}.mp3")
    assert np.abs(np.fft.rfft(heard)).argmax() * rate / len(heard) == pytest.approx(2000, abs=2)
    assert np.abs(soundfile.read(tmp_path / "audit_files" / f"{table['file'][1]}.mp3")[0]).max() < 1e-3


def test_a_source_that_vanished_says_so_and_is_tried_again(refs: list[ClipRef], tmp_path: Path) -> None:
    path = Path(refs[0].file)
    kept = path.read_bytes()
    path.unlink()
    Path(refs[1].file).write_text("this is no audio")
    table, files = make(refs, tmp_path)
    assert table["file"].isna().tolist() == [True, True, False]
    assert "cannot be read any more" in table["problem"][0]
    assert "ffmpeg" in table["problem"][1]
    assert len(files) == 2
    path.write_bytes(kept)
    assert make(refs, tmp_path)[0]["file"].isna().tolist() == [False, True, False]


def test_no_clips_leave_an_empty_folder(refs: list[ClipRef], tmp_path: Path) -> None:
    make(refs, tmp_path)
    table, files = make([], tmp_path)
    assert table.empty
    assert not files
