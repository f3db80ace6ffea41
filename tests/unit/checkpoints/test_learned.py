from pathlib import Path

import pytest

from allears.checkpoints.learned import NAME, Learned, load_learned, save_learned
from allears.errors import StorageError


def test_clips_are_known_by_name_within_their_corpus_and_by_samples_anywhere(tmp_path: Path) -> None:
    assert load_learned(tmp_path) is None
    save_learned(tmp_path, Learned.of("a", ["x", "y"], ["ff" * 32, "00" * 32], ["anna", "anna"]))
    again = load_learned(tmp_path)
    assert again is not None
    assert again.has_clips("a", ["y", "z"]).tolist() == [True, False]
    assert again.has_clips("b", ["y"]).tolist() == [False]
    assert again.has_groups("a", ["anna", "x"]).tolist() == [True, False]
    assert (again.has_audio("ff" * 32), again.has_audio("11" * 32)) == (True, False)
    assert again.has_clips("a", []).tolist() == []


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(StorageError, match=f"{NAME} cannot be read"):
        load_learned(tmp_path)
