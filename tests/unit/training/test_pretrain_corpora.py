"""What a training of several corpora hears of each: shares, copies, labels, and what cannot be."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from allears.errors import ConfigError, TrainingError
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import OtherCorpus, PretrainSpec
from allears.shards.batches import Cursor
from allears.shards.handle import ShardSet
from allears.shards.plan import plan_epoch
from allears.shards.reader import ShardReader
from allears.training import label
from allears.training.datamodule import DevBatches, PretrainData, Updates
from allears.training.frame_labels import FrameLabels
from allears.training.plan import summarise_plan, training_data
from allears.training.ranks import Ranks
from tests.pretraining import tiny, updates_of
from tests.support import make_shards


def other(folder: Path, share: float | None, **shards: int) -> OtherCorpus:
    """A corpus with clips of the same ids as any other of these."""
    handle, clips = make_shards(folder, **shards)
    return OtherCorpus(corpus=folder.name, version="v", shard_set=handle.to_json(), clips=clips, share=share)


def change(clips: Path, **columns: list[object]) -> None:
    table = pq.read_table(clips)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, clips)


def test_shares_are_of_the_audio_and_the_own_corpus_keeps_its_epoch(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "mine", clips=40)
    small, whole = other(tmp_path / "small", 0.5, clips=10, seed=1), other(tmp_path / "whole", None, clips=20, seed=2)
    alone, data = training_data(*shards, tiny()), training_data(*shards, tiny(), [small, whole])
    assert data.main.weights_N.tolist() == alone.main.weights_N.tolist()
    assert set(data.corpora[2].weights_N) == {0.0, 1.0}
    assert data.corpora[1].share == pytest.approx(0.5)
    assert sum(one.share for one in data.corpora) == pytest.approx(1)
    crops = np.minimum(data.clips.lengths_N, data.plan.crop_length) * data.clips.weights_N
    first = len(alone.main.index.clips)
    assert crops[first : first + 10].sum() / crops.sum() == pytest.approx(0.5)
    assert alone.plan.digest != data.plan.digest

    plan = summarise_plan(data, Cursor(), 10)
    again = summarise_plan(data, Cursor(10, 0), 10)  # the same, heard once more
    assert again == plan | {"first_update": 10}
    assert summarise_plan(data, Cursor(10, 1), 10)["hours_planned"] != plan["hours_planned"]
    summary = plan["corpora"][1]
    assert summary["share"] == pytest.approx(0.5)
    assert summary["times_an_epoch"] > 2  # of ten clips half of what is heard

    of_clip = np.repeat([0, 1, 2], [len(one.index.clips) for one in data.corpora])
    heard = np.zeros(3)
    for epoch in range(30):
        plan = plan_epoch(data.clips, data.plan, epoch)
        np.add.at(heard, of_clip[plan.clip_P], plan.lengths_P)
    assert heard / heard.sum() == pytest.approx([one.share for one in data.corpora], abs=0.01)


def test_a_clip_that_another_corpus_holds_out_is_not_trained_on(tmp_path: Path) -> None:
    """The same recordings twice, with other splits: what either holds out is heard from neither."""
    shards, twin = make_shards(tmp_path / "mine", clips=40), other(tmp_path / "twin", None, clips=40)
    splits = pq.read_table(shards[1])["split"].to_pylist()
    speakers = [f"speaker-{i % 10}" for i in range(40)]
    swapped = ["test" if speaker in ("speaker-0", "speaker-1") else "train" for speaker in speakers]
    change(twin.clips, split=swapped)
    data = training_data(*shards, tiny(), [twin])
    held_out = np.array([split != "train" or new != "train" for split, new in zip(splits, swapped, strict=True)])
    for one, split in zip(data.corpora, (splits, swapped), strict=True):
        train = np.array([name == "train" for name in split])
        assert ((one.weights_N > 0) == (train & ~held_out)).all()
        assert one.copies == (train & held_out).sum() > 0
    change(twin.clips, split=["train"] * 40, keep=[split != "train" for split in splits])
    with pytest.raises(TrainingError, match=r"shards of corpus 'twin' hold 40 clips, 40 of .* the 12 that .* held out"):
        training_data(*shards, tiny(), [twin])


def test_units_are_fitted_on_all_by_share_and_labels_lie_with_their_corpus(tmp_path: Path) -> None:
    params = tiny(objective="masked_units", batch={"crop_s": 0.6})
    shards = make_shards(tmp_path / "mine", clips=30)
    beside = other(tmp_path / "beside", 0.4, clips=30, seed=1, shards=3)
    data = training_data(*shards, params, [beside])
    few = params.units.model_copy(update={"fit_frames": 500})
    frames = [sum(len(found) for found in label._sample(one, label.Extraction(640), few)) for one in data.corpora]
    assert frames == [pytest.approx(500 * share, abs=40) for share in (0.6, 0.4)]  # to within a clip

    folders = [tmp_path / "features" / name for name in ("mine", "beside")]
    handle = label.prepare_units(data, params, *folders)
    assert handle["clips"] == sum(int(((one.weights_N > 0) | (one.dev_weights_N > 0)).sum()) for one in data.corpora)
    for folder, one in zip([handle["folder"], *handle["others"]], data.corpora, strict=True):
        assert len(list(Path(folder).glob("*.arrow"))) == len(one.index.shards)
    assert [Path(handle["folder"]).parents[1], Path(handle["others"][0]).parents[1]] == folders
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert label.prepare_units(data, params, *folders) == handle
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    labels = FrameLabels(handle, [one.index for one in data.corpora])
    centres = np.load(Path(handle["folder"]) / label.MODEL_FILE)
    for number, one in enumerate(data.corpora):
        with ShardReader(one.shard_set) as reader:
            inner = int(np.flatnonzero(one.weights_N)[3])
            features = label.unit_features(reader.read(inner), 16_000, 4, "mean")
        expected = label.assign(features, centres)
        place = inner + number * len(data.main.index.clips)
        found = labels.of(np.array([place]), np.array([2]), len(expected))[0]
        assert found[: len(expected) - 2].tolist() == expected[2:].tolist()
    updates = updates_of(params, data, 12, targets=handle)
    assert all((micro.units.data >= 0).any() for update in updates for micro in update.micros)
    mine = set(data.main.index.pcm_sha256)
    assert not mine & set(data.corpora[1].index.pcm_sha256)
    dev = list(dev_batches(updates, shards, params))  # of the own corpus alone
    assert {key for batch in dev for key in batch.keys} <= set(
        np.array(data.main.index.clips)[data.main.dev_weights_N > 0]
    )
    alone = training_data(*shards, params)
    first = next(iter(dev_batches(updates_of(params, alone, 1, targets=handle | {"others": ()}), shards, params)))
    assert first.keys == dev[0].keys
    assert torch.equal(first.audio.data, dev[0].audio.data)
    shared = [list(dev_batches(updates, shards, params, Ranks(rank, 2))) for rank in (0, 1)]
    assert [batch.keys for pair in itertools.zip_longest(*shared) for batch in pair if batch] == [
        batch.keys for batch in dev
    ]


def dev_batches(updates: Updates, shards: tuple[ShardSet, Path], params: PretrainParams, ranks=None) -> DevBatches:
    spec = PretrainSpec(
        folder=Path("run"), identity="x", shard_set=shards[0].to_json(), clips=shards[1], targets={}, pretrain=params
    )
    return DevBatches(PretrainData(updates.make, spec, ranks or Ranks()))


def test_what_cannot_be_heard_is_said_with_the_corpus(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "mine", clips=20)
    silent = other(tmp_path / "silent", 0.3, clips=10)
    change(silent.clips, keep=[False] * 10)
    with pytest.raises(
        TrainingError, match=r"no clip to train on: the shards of corpus 'silent' .* keeps none of them"
    ):
        training_data(*shards, tiny(), [silent])
    slow = silent.model_copy(update={"shard_set": silent.shard_set | {"sample_rate_hz": 8000}, "corpus": "slow"})
    with pytest.raises(ConfigError, match=r"shards of corpus 'slow' hold 8000 Hz.*--params corpus=slow"):
        training_data(*shards, tiny(), [slow])
    with pytest.raises(TrainingError, match="all corpora together are smaller than one batch"):
        training_data(*shards, tiny(batch={"seconds": 1000.0}), [other(tmp_path / "fine", 0.1, clips=10)])
