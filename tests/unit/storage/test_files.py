import json
import os
import shutil
from pathlib import Path

import pytest

from allears.errors import StorageError
from allears.storage.files import atomic_path, read_json, sweep, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path):
    target = tmp_path / "table.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.txt"]


def test_json_comes_back(tmp_path: Path):
    value = {"ä": [1, 2.5, None], "b": {"c": "d"}}
    write_json(tmp_path / "deep" / "x.json", value)
    assert read_json(tmp_path / "deep" / "x.json") == value


def test_json_that_is_none_is_a_sentence_with_the_file_and_what_to_do(tmp_path: Path):
    (tmp_path / "x.json").write_text('{"cut')
    with pytest.raises(StorageError, match=r"x\.json is not valid JSON.*delete it"):
        read_json(tmp_path / "x.json")
    with pytest.raises(StorageError, match=r"missing\.json.*does not exist"):
        read_json(tmp_path / "missing.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path):
    folder = tmp_path / "frozen"
    folder.mkdir(mode=0o555)
    with pytest.raises(StorageError, match="read-only"):
        write_json(folder / "x.json", json.loads("1"))


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "kept.tar") as temporary:
        temporary.write_bytes(b"half")
        shutil.copy(temporary, tmp_path / temporary.name.replace("kept", "left"))  # as a SIGKILL leaves it
        raise KeyboardInterrupt
    write_text(tmp_path / "whole.tar", "whole")
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["whole.tar"]
