from pathlib import Path

import numpy as np
import pytest
import torch

from allears.checkpoints.export import save_export
from allears.errors import ConfigError, StorageError, TrainingError
from allears.frames import encoder_frames
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig
from allears.params.spec_pretrain import UnitSource
from allears.shards.clips import read_clips
from allears.shards.reader import ShardReader
from allears.shards.sidecar import Sidecar, move_labels
from allears.training import label
from allears.training.plan import TrainingData, training_data
from allears.types import Padded
from tests.pretraining import tiny
from tests.support import make_shards


class OddConfig(ConformerConfig):
    """Frames of 31.25 ms."""

    @property
    def hop_samples(self) -> int:
        """No multiple of 10 ms."""
        return 500


def test_the_nearest_centre_by_brute_force() -> None:
    random = np.random.default_rng(0)
    features, centres = random.normal(size=(50, 39)).astype(np.float32), random.normal(size=(7, 39)).astype(np.float32)
    expected = [int(np.argmin([((frame - centre) ** 2).sum() for centre in centres])) for frame in features]
    assert label.assign(features, centres).tolist() == expected


def test_features_have_the_encoder_s_frames_and_each_clip_s_own_mean() -> None:
    audio = np.random.default_rng(0).normal(size=20_000).astype(np.float32) * 0.1
    found = label.unit_features(audio, 16_000, 4, "mean")
    assert len(found) == encoder_frames(20_000, 4)
    assert np.abs(found.mean(0)).max() < 1e-3  # the channel is gone
    assert label.unit_features(audio[:100], 16_000, 4, "mean").shape == (0, 39)


def test_held_out_speakers_are_in_no_clustering_and_test_clips_get_no_labels(tmp_path: Path) -> None:
    shard_set, clips = make_shards(tmp_path / "shards", clips=40)
    params = tiny(objective="masked_units")
    data = training_data(shard_set, clips, params)
    splits = read_clips(clips).column("split")
    sampled = np.concatenate(
        list(label._sample(data.main, label.Extraction(640), params.units.model_copy(update={"fit_frames": 10**6})))
    )
    train = [row for row, split in enumerate(splits) if split == "train"]
    assert len(sampled) == sum(encoder_frames(int(data.main.index.samples_N[row]), 4) for row in train)

    handle = label.prepare_units(data, params, tmp_path / "features")
    assert handle["clips"] == sum(split != "test" for split in splits)
    sidecar = Sidecar(Path(handle["folder"]), handle["digest"], data.main.index)
    centres = np.load(Path(handle["folder"]) / label.MODEL_FILE)
    with ShardReader(shard_set) as reader:
        for row, (clip, split) in enumerate(zip(data.main.index.clips, splits, strict=True)):
            if split == "test":
                with pytest.raises(StorageError):
                    sidecar.get(clip)
            else:
                features = label.unit_features(reader.read(row), 16_000, 4, "mean")
                assert sidecar.get(clip).tolist() == label.assign(features, centres).tolist()
    before = {path: path.stat().st_mtime_ns for path in Path(handle["folder"]).iterdir()}
    assert label.prepare_units(data, params, tmp_path / "features") == handle
    assert before == {path: path.stat().st_mtime_ns for path in Path(handle["folder"]).iterdir()}


def test_a_killed_pass_goes_on_with_the_same_centres(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=30)
    params = tiny(objective="masked_units")
    data = training_data(*shards, params)
    handle = label.prepare_units(data, params, tmp_path / "features")
    folder = Path(handle["folder"])
    centres = (folder / label.MODEL_FILE).read_bytes()
    (folder / "receipt.json").unlink()  # what a kill after the last shard leaves
    assert label.prepare_units(data, params, tmp_path / "features") == handle
    assert (folder / label.MODEL_FILE).read_bytes() == centres


def test_labels_that_are_lost_or_damaged_are_made_again(tmp_path: Path) -> None:
    shard_set, clips = make_shards(tmp_path / "shards", clips=30, shards=3)
    params = tiny(objective="masked_units")
    data = training_data(shard_set, clips, params)
    handle = label.prepare_units(data, params, tmp_path / "features")
    lost, damaged, whole = sorted(Path(handle["folder"]).glob("*.labels.arrow"))
    content, untouched = [path.read_bytes() for path in (lost, damaged)], whole.stat().st_mtime_ns
    lost.unlink()
    damaged.write_bytes(content[1][:100])
    assert label.prepare_units(data, params, tmp_path / "features") == handle
    assert [path.read_bytes() for path in (lost, damaged)] == content
    assert whole.stat().st_mtime_ns == untouched


def test_merged_tars_are_not_labelled_again(tmp_path: Path) -> None:
    params = tiny(objective="masked_units")
    several = training_data(*make_shards(tmp_path / "several", clips=30, shards=3), params)
    handle = label.prepare_units(several, params, tmp_path / "features")
    folder = Path(handle["folder"])
    one = training_data(*make_shards(tmp_path / "one", clips=30, shards=1), params)  # the same clips in the same order
    assert one.main.shard_set.digest != several.main.shard_set.digest
    move_labels(folder, one.main.shard_set)
    assert [path.name for path in folder.glob("*.arrow")] == ["synthetic-000000.labels.arrow"]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert label.prepare_units(one, params, tmp_path / "features") == handle
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    labels = {clip: Sidecar(folder, handle["digest"], one.main.index).get(clip).tolist() for clip in wanted(one)}
    for path in folder.glob("*.arrow"):  # lost, it is made again, and is the same
        path.unlink()
    assert label.prepare_units(one, params, tmp_path / "features") == handle
    sidecar = Sidecar(folder, handle["digest"], one.main.index)
    assert {clip: sidecar.get(clip).tolist() for clip in wanted(one)} == labels


def wanted(data: TrainingData) -> list[str]:
    return sorted(data.main.index.clips.take(np.flatnonzero(label._wanted(data.main))))


def test_units_of_a_layer_are_its_nearest_centres(tmp_path: Path) -> None:
    """HuBERT's second iteration: the oracle runs the whole encoder on each clip, and no hidden state is on disk."""
    shard_set, clips = make_shards(tmp_path / "shards", clips=40)
    params = tiny(objective="masked_units")
    data = training_data(shard_set, clips, params)
    encoder = build_encoder(params.chosen_encoder, seed=5).eval()
    folder = save_export(tmp_path / "export", {"encoder": encoder}, {}, "# A card")
    source = UnitSource(folder=folder, layer=1, digest="d", words="layer 1")
    handle = label.prepare_units(data, params, tmp_path / "features", source=source)
    assert handle["source"] == "layer 1"
    assert handle["digest"] != label.units_handle(data, params, tmp_path / "features")["digest"]
    centres = np.load(Path(handle["folder"]) / label.MODEL_FILE)
    assert centres.shape == (8, 16)
    sidecar = Sidecar(Path(handle["folder"]), handle["digest"], data.main.index)
    with ShardReader(shard_set) as reader, torch.no_grad():
        for row in np.flatnonzero(label._wanted(data.main)).tolist():
            audio = torch.from_numpy(reader.read(row))[None]
            layer = encoder(Padded(audio, torch.tensor([audio.shape[1]]), full=True)).layers[1][0].numpy()
            found = sidecar.get(data.main.index.clips[row])
            distances = ((layer[:, None] - centres[None]) ** 2).sum(-1)
            assert np.allclose(distances[np.arange(len(found)), found], distances.min(1), atol=1e-4)
    size = sum(file.stat().st_size for file in Path(handle["folder"]).iterdir())
    assert size < 4 * int(handle["frames"]) * 16  # less than one hidden state per frame


def test_a_unit_model_is_given_to_clips_that_it_has_not_seen(tmp_path: Path) -> None:
    params = tiny(objective="masked_units")
    first = training_data(*make_shards(tmp_path / "first", clips=40), params)
    old = label.prepare_units(first, params, tmp_path / "old")
    second = training_data(*make_shards(tmp_path / "second", clips=50), params)
    centres = Path(old["folder"]) / label.MODEL_FILE
    new = label.prepare_units(second, params, tmp_path / "new", source=UnitSource(centres=centres))
    assert new["digest"] != old["digest"]
    assert new["centres"] == old["centres"]
    assert new["clips"] > old["clips"]
    own = label.prepare_units(second, params, tmp_path / "own")
    assert own["centres"] != old["centres"]


def test_too_few_frames_for_so_many_units() -> None:
    with pytest.raises(TrainingError, match="100 units cannot be fitted on 500 frames"):
        label.fit_units(np.zeros((500, 39), dtype=np.float32), 100, 0)


def test_frames_that_are_no_whole_windows_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    params = tiny(objective="masked_units")
    data = training_data(*make_shards(tmp_path / "shards", clips=20), params)
    odd = params.model_copy(update={"encoders": {"conformer": OddConfig()}})
    with pytest.raises(ConfigError, match=r"a frame of pretrain\.encoder=conformer is 500 samples long"):
        label.units_handle(data, odd, tmp_path / "features")
