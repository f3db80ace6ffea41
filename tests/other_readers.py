"""Shards as other toolkits read them, compared with our reader sample by sample."""

from __future__ import annotations

import io
import json
from pathlib import Path

import datasets
import numpy as np
import soundfile
import webdataset

from allears.shards.handle import ShardSet
from allears.shards.reader import ShardReader
from allears.shards.writer import SNAPSHOT

TEXT = datasets.Value("string")
TYPES = {
    "__key__": TEXT,
    "__url__": TEXT,
    "flac": datasets.Value("binary"),  # said, as its own guess for .flac needs torchcodec even to leave it undecoded
    "json": dict.fromkeys(SNAPSHOT, TEXT),
}


def assert_others_read(handle: Path, cache: Path) -> None:
    """`webdataset` and Hugging Face's `datasets` find the clips of the index, in its order, with its audio."""
    shard_set = ShardSet.from_json(json.loads(handle.read_text()))
    tars = [str(path) for path in sorted(shard_set.folder.glob("*.tar"))]
    theirs = datasets.load_dataset(
        "webdataset", data_files=tars, split="train", features=datasets.Features(TYPES), cache_dir=str(cache)
    )
    plain = list(webdataset.WebDataset(tars, shardshuffle=False))
    with ShardReader(shard_set) as reader:
        assert len(plain) == len(theirs) == shard_set.clips
        for place, (one, other) in enumerate(zip(plain, theirs, strict=True)):
            assert one["__key__"] == other["__key__"] == reader.index.clips[place]
            assert one["flac"] == other["flac"]
            assert json.loads(one["json"]) == other["json"]
            audio_T, rate_hz = soundfile.read(io.BytesIO(one["flac"]), dtype="float32")
            assert rate_hz == shard_set.sample_rate_hz
            np.testing.assert_array_equal(audio_T, reader.read(place))
