"""A batch carries what the objective asks for, counted as it says, and nothing else is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from allears.errors import TrainingError
from allears.objectives.base import Objective
from allears.params.objective import BestRQConfig
from allears.shards.batches import Cursor
from allears.shards.clips import read_clips
from allears.training.datamodule import Maker, Update, Updates
from allears.training.frame_labels import FrameLabels
from allears.training.plan import training_data
from allears.training.ranks import Ranks
from allears.types import Batch, ObjectiveOutput
from tests.pretraining import make_spec, tiny
from tests.support import make_shards


class Lengths(Objective):
    """Asks for what its class says; what it prepares are the lengths of the texts."""

    def __init__(self, config: BestRQConfig) -> None:
        super().__init__()
        self.config = config

    def prepare(self, batch: Batch) -> dict[str, Tensor]:
        return {"characters_B": torch.tensor([len(text) for text in batch.texts or ()])}

    def forward(self, batch: Batch) -> ObjectiveOutput:
        raise NotImplementedError

    def exports(self) -> dict[str, nn.Module]:
        return {}


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch):
    def ask(inputs: set[str], cost: str) -> None:
        monkeypatch.setattr(BestRQConfig, "inputs", frozenset(inputs))
        monkeypatch.setattr(BestRQConfig, "cost", cost)

    return ask


def updates(shards, params, targets=None) -> Iterator[Update]:
    data = training_data(*shards, params)
    labels = None if targets is None else FrameLabels(targets, [data.main.index])
    make = Maker(data=data, labels=labels, objective=Lengths(params.chosen), encoder=params.chosen_encoder)
    return iter(Updates(make, Cursor(), 6, Ranks(), 1))


def test_text_alone_counts_characters_and_opens_no_audio(tmp_path: Path, asks) -> None:
    asks({"text"}, "tokens")
    shards = make_shards(tmp_path, clips=40)
    for tar in tmp_path.glob("*.tar"):
        tar.unlink()
    params = tiny(batch={"tokens": 40})
    texts = dict(zip(read_clips(shards[1]).column("clip"), read_clips(shards[1]).column("text"), strict=True))
    for update in updates(shards, params):
        (batch,) = update.micros
        assert batch.audio is batch.units is batch.labels is None
        assert batch.texts == tuple(texts[key].lower() for key in batch.keys)
        assert batch.prepared["characters_B"].tolist() == [len(text) for text in batch.texts]
        assert len(batch.keys) * max(map(len, batch.texts)) <= 40
        assert update.length == sum(map(len, batch.texts))


def test_units_alone_count_frames_and_open_no_audio(tmp_path: Path, asks) -> None:
    shards = make_shards(tmp_path / "shards", clips=40)
    spec = make_spec(shards, tmp_path / "run", tiny(objective="masked_units"))
    asks({"units"}, "units")
    for tar in (tmp_path / "shards").glob("*.tar"):
        tar.unlink()
    params = tiny(batch={"crop_s": 0.6})
    found = list(updates(shards, params, spec.targets))
    for update in found:
        (batch,) = update.micros
        assert batch.audio is batch.texts is None
        assert batch.units.data.shape[1] == int(batch.units.lengths_B.max()) <= 15  # 0.6 s
        assert batch.units.data.numel() <= 4.0 * 25
        for units_U, length in zip(batch.units.data, batch.units.lengths_B.tolist(), strict=True):
            assert (units_U[:length] >= 0).all()
        assert update.length == int(batch.units.lengths_B.sum())
    assert max(start for update in found for batch in update.micros for start in batch.starts) > 0


def test_labels_come_with_the_audio(tmp_path: Path, asks) -> None:
    asks({"audio", "labels"}, "samples")
    shards = make_shards(tmp_path, clips=40)
    known = dict(zip(read_clips(shards[1]).column("clip"), read_clips(shards[1]).column("label"), strict=True))
    (batch,) = next(updates(shards, tiny())).micros
    assert batch.labels == tuple(known[key] for key in batch.keys)
    assert batch.audio is not None
    assert batch.units is batch.texts is None


@pytest.mark.parametrize(("inputs", "column"), [({"text"}, "text"), ({"audio", "labels"}, "label")])
def test_an_input_that_the_corpus_has_not_is_one_sentence(tmp_path: Path, asks, inputs, column) -> None:
    asks(inputs, "samples")
    shard_set, clips = make_shards(tmp_path, clips=20)
    table = pq.read_table(clips)
    none = pa.array([None] * len(table), pa.string())
    pq.write_table(table.set_column(table.column_names.index(column), column, none), clips)
    with pytest.raises(TrainingError, match=rf"best_rq needs a {column} for its clips, and none of the 14 training"):
        training_data(shard_set, clips, tiny())
