"""The same clips through other libraries' loaders, for `bench_data.py` and `bench_plan.py`.

Each function reads one epoch and returns the number of clips that it gave; `planned_by_lhotse` plans one.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from allears.audio.flac import decode_into
from allears.shards.index import Index
from allears.shards.reader import ShardReader

WORKSPACE_S = 60.0


def libsndfile(flac: bytes, samples: int) -> None:
    """Decode a clip as most loaders do."""
    assert len(soundfile.read(io.BytesIO(flac), dtype="float32")[0]) == samples


def dr_flac(flac: bytes, samples: int) -> None:
    """Decode a clip as our reader does."""
    assert decode_into(flac, 0, np.empty(samples, np.float32)) == samples


def bare(reader: ShardReader, places: Sequence[int], decode: Callable[[bytes, int], None]) -> int:
    """Decode each clip by itself: the same positional reads, no batch, no order, no checks."""
    index = reader.index
    for place in places:
        with (reader.shard_set.folder / index.shards[int(index.shard_N[place])]).open("rb", buffering=0) as tar:
            tar.seek(int(index.offset_N[place]))
            decode(tar.read(int(index.length_N[place])), int(index.samples_N[place]))
    return len(places)


def by_webdataset(tars: Sequence[str]) -> int:
    """`webdataset.WebDataset` and libsndfile, clip by clip, in the tars' order."""
    import webdataset

    dataset = webdataset.WebDataset(list(tars), shardshuffle=False, empty_check=False)
    return sum(1 for sample in dataset if len(soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")[0]))


def by_datasets(tars: Sequence[str]) -> int:
    """Hugging Face `datasets`, streaming, bytes as they are, and libsndfile; clip by clip."""
    import datasets

    datasets.disable_progress_bars()
    features = datasets.Features(
        {"__key__": datasets.Value("string"), "__url__": datasets.Value("string"), "flac": datasets.Value("binary")}
    )
    stream = datasets.load_dataset(
        "webdataset", data_files=list(tars), split="train", streaming=True, features=features
    )
    return sum(1 for sample in stream if len(soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")[0]))


def write_shar(reader: ShardReader, folder: Path, clips_a_shard: int) -> Path:
    """The same clips as a Lhotse Shar."""
    from lhotse import CutSet
    from lhotse.shar import SharWriter

    folder.mkdir()
    with SharWriter(str(folder), fields={"recording": "flac"}, shard_size=clips_a_shard) as writer:
        for cut in CutSet.from_cuts(_cuts(reader)):
            writer.write(cut)
    return folder


def planned_by_lhotse(samples_N: NDArray[np.int64], rate_hz: int, seed: int) -> list[list[int]]:
    """Clips of each batch of an epoch: the sampler of `by_lhotse` over clips of these lengths, all in its buffer."""
    from lhotse import CutSet, Recording
    from lhotse.dataset import DynamicBucketingSampler

    cuts = [
        Recording(str(place), [], rate_hz, samples, samples / rate_hz).to_cut()
        for place, samples in enumerate(samples_N.tolist())
    ]
    cuts = [cuts[place] for place in np.random.default_rng(seed).permutation(len(cuts))]
    warnings.filterwarnings("ignore", message="You are using DynamicBucketingSampler with an eagerly read CutSet")
    sampler = DynamicBucketingSampler(
        CutSet.from_cuts(cuts), max_duration=WORKSPACE_S, shuffle=True, num_buckets=30, buffer_size=len(cuts),
        drop_last=False, seed=seed, rank=0, world_size=1,
    )  # fmt: skip
    return [[int(cut.recording_id) for cut in batch] for batch in sampler]


def by_lhotse(folder: Path) -> int:
    """Lhotse: Shar, dynamic buckets of at most 60 s a batch, collated to a padded tensor."""
    from lhotse import CutSet
    from lhotse.dataset import DynamicBucketingSampler
    from lhotse.dataset.collation import collate_audio

    logging.getLogger().setLevel(logging.ERROR)
    cuts = CutSet.from_shar(in_dir=str(folder), shuffle_shards=True, seed=0)
    sampler = DynamicBucketingSampler(
        cuts, max_duration=WORKSPACE_S, shuffle=True, num_buckets=30, buffer_size=5_000, drop_last=False, seed=0,
        rank=0, world_size=1,
    )  # fmt: skip
    clips = 0
    for batch in sampler:
        audio_BT, _ = collate_audio(batch)
        assert isinstance(audio_BT, torch.Tensor)
        clips += len(audio_BT)
    return clips


def _cuts(reader: ShardReader) -> Iterator[Any]:
    from lhotse import Recording

    index: Index = reader.index
    for place, clip in enumerate(index.clips):
        yield Recording.from_bytes(data=reader.flac(place), recording_id=clip).to_cut()
