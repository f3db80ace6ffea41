from dataclasses import replace

import numpy as np
import pytest

from allears.errors import StaleError, StorageError
from allears.shards.index import Index, read_index
from allears.shards.sidecar import Sidecar, is_labelled, write_labels
from tests.support import make_shards


@pytest.fixture
def index(tmp_path) -> Index:
    return read_index(make_shards(tmp_path / "shards", clips=6, seconds=0.1)[0])


def test_labels_come_back_by_clip(index, tmp_path):
    labels = {clip: np.arange(place + 3) * place for place, clip in enumerate(index.clips)}
    for number, shard in enumerate(index.shards):
        tar = index.of_tar(number)
        all_n = np.ones(len(tar.clips), dtype=bool)
        assert not is_labelled(tmp_path, "model", tar, all_n)
        chosen = {clip: labels[clip] for clip, of in zip(index.clips, index.shard_N, strict=True) if of == number}
        assert list(tar.clips) == list(chosen)
        write_labels(tmp_path, "model", shard, chosen, tar)
        assert is_labelled(tmp_path, "model", tar, all_n)
    sidecar = Sidecar(tmp_path, "model", index)
    for clip in reversed(index.clips):
        np.testing.assert_array_equal(sidecar.get(clip), labels[clip])
        assert sidecar.get(clip).dtype == np.int32


def test_labels_of_other_audio_or_by_another_are_refused(index, tmp_path):
    shard = index.shards[0]
    first = index.clips[0]
    with pytest.raises(StorageError, match="missing"):
        Sidecar(tmp_path, "model", index).get(first)
    write_labels(tmp_path, "model", shard, {first: np.zeros(3)}, index)
    tar = index.of_tar(0)
    assert not is_labelled(tmp_path, "model", tar, np.ones(len(tar.clips), dtype=bool))  # of one clip only
    assert is_labelled(tmp_path, "model", tar, np.array([clip == first for clip in tar.clips]))
    with pytest.raises(StorageError, match=f"no labels of clip {index.clips[1]}"):
        Sidecar(tmp_path, "model", index).get(index.clips[1])
    with pytest.raises(StaleError, match="fitted again"):
        Sidecar(tmp_path, "another", index).get(first)
    changed = replace(index, pcm_sha256=("0" * 64, *index.pcm_sha256[1:]))
    with pytest.raises(StaleError, match="written again"):
        Sidecar(tmp_path, "model", changed).get(first)


def test_a_damaged_file_is_a_sentence(index, tmp_path):
    write_labels(tmp_path, "model", index.shards[0], {index.clips[0]: np.zeros(3)}, index)
    path = next(tmp_path.glob("*.arrow"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StorageError, match="sha256 is another"):
        Sidecar(tmp_path, "model", index).get(index.clips[0])


def test_a_bit_flipped_in_any_byte_is_found(index, tmp_path):
    tar = index.of_tar(0)
    write_labels(tmp_path, "model", tar.shards[0], {clip: np.arange(5) for clip in tar.clips}, tar)
    path = next(tmp_path.glob("*.arrow"))
    data = path.read_bytes()
    assert is_labelled(tmp_path, "model", tar, np.ones(len(tar.clips), dtype=bool))
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        assert not is_labelled(tmp_path, "model", tar, np.ones(len(tar.clips), dtype=bool))
    with pytest.raises(StorageError, match="sha256 is another"):
        Sidecar(tmp_path, "model", tar).get(tar.clips[0])
