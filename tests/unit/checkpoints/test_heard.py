from pathlib import Path

import numpy as np
import pytest

from allears.checkpoints.heard import NAME, Heard, check_unheard, load_heard, save_heard
from allears.errors import StaleError, StorageError
from allears.shards.clips import read_clips
from allears.shards.index import read_index
from tests.support import make_shards


def heard_of(corpus, shards, clips, split):
    index, table = read_index(shards), read_clips(clips)
    rows = [i for i, one in enumerate(table.column("split")) if one == split]
    return Heard.of(corpus, [table.column("group")[i] for i in rows], [index.pcm_sha256[i] for i in rows])


def test_it_is_read_back_and_joined(tmp_path):
    one, two = Heard.of("a", ["x", "x", "y"], ["ff" * 32]), Heard.of("b", ["x"], ["ff" * 32, "00" * 32])
    save_heard(tmp_path, one.joined(two))
    again = load_heard(tmp_path)
    assert again is not None
    assert len(again.groups) == 3  # a's x is not b's
    np.testing.assert_array_equal(again.audio, np.array([0, 2**64 - 1], dtype=np.uint64))


def test_held_out_speakers_and_held_out_audio_are_known_again(tmp_path):
    shards, clips = make_shards(tmp_path / "mine", clips=20, seconds=0.3)
    export = tmp_path / "export"
    export.mkdir()
    check_unheard(export, "mine", clips, shards, ("dev", "test"), "")  # says nothing
    save_heard(export, heard_of("mine", shards, clips, "train"))
    check_unheard(export, "mine", clips, shards, ("dev", "test"), "")
    with pytest.raises(StaleError, match=r"heard 7 of the 7 speakers .* of corpus 'mine' that are held out .*Do this"):
        check_unheard(export, "mine", clips, shards, ("train",), "Do this.")
    with pytest.raises(StaleError, match="heard 7 of the 10 speakers"):  # the same recordings under another name
        check_unheard(export, "other", clips, shards, ("train", "dev", "test"), "")
    save_heard(export, Heard.of("mine", [read_clips(clips).column("group")[9]], []))  # other clips of a test speaker
    with pytest.raises(StaleError, match="heard 1 of the 3 speakers"):
        check_unheard(export, "mine", clips, shards, ("dev", "test"), "")


def test_a_damaged_file_is_said(tmp_path: Path):
    (tmp_path / NAME).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(StorageError, match=f"{NAME} cannot be read"):
        load_heard(tmp_path)
