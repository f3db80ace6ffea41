from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from allears.training.frame_labels import FrameLabels
from allears.training.module import add_up, build_optimiser, divide_and_clip, dropout_seed
from allears.training.plan import training_data
from allears.training.pretrain import new_objective
from tests.pretraining import make_spec, tiny, updates_of
from tests.support import make_shards


def test_micro_batches_divide_by_the_count_of_the_whole_update(tmp_path: Path) -> None:
    """The gradient is that of sum(losses) / sum(counts), whatever lies in which micro-batch."""
    params = tiny(batch={"micro_batches": 3, "seconds": 3.0})
    data = training_data(*make_shards(tmp_path, clips=30), params)
    micros = next(iter(updates_of(params, data, 1))).micros
    assert len(micros) == 3
    objective = new_objective(params).eval()
    outputs = []
    for micro in micros:
        outputs.append(objective(micro))
        outputs[-1].loss_sum.backward()
    norm = divide_and_clip(objective, torch.stack([o.count for o in outputs]).sum(), clip_norm=1e9)
    found = [p.grad.clone() for p in objective.parameters() if p.grad is not None]

    objective.zero_grad()
    again = [objective(micro) for micro in micros]
    (torch.stack([o.loss_sum for o in again]).sum() / sum(int(o.count) for o in again)).backward()
    expected = [p.grad for p in objective.parameters() if p.grad is not None]
    for ours, oracle in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(norm, torch.cat([g.flatten() for g in expected]).norm(), rtol=1e-4, atol=0)


def test_clipping_shortens_to_the_limit(tmp_path: Path) -> None:
    params = tiny()
    data = training_data(*make_shards(tmp_path, clips=30), params)
    micros = next(iter(updates_of(params, data, 1))).micros
    objective = new_objective(params)
    output = objective(micros[0])
    output.loss_sum.backward()
    norm = divide_and_clip(objective, output.count, clip_norm=0.01)
    after = torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None]).norm()
    assert norm > 0.01
    assert after == pytest.approx(0.01, rel=1e-3)
    metrics, histograms = add_up([output, output])
    assert metrics["loss"][1] == 2 * output.count
    assert torch.equal(histograms["codes"], 2 * output.histograms["codes"])


def test_only_matrices_decay() -> None:
    groups = build_optimiser(new_objective(tiny()), tiny().optimiser).param_groups
    assert groups[0]["weight_decay"] == 0.01
    assert all(p.ndim >= 2 for p in groups[0]["params"])
    assert groups[1]["weight_decay"] == 0
    assert all(p.ndim < 2 for p in groups[1]["params"])


def test_each_micro_batch_has_its_seed() -> None:
    seeds = {dropout_seed(seed, update, micro) for seed in range(3) for update in range(50) for micro in range(4)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_updates_begin_anywhere_with_the_same_batches(tmp_path: Path) -> None:
    """First k and the rest are all, labels included; crops carry the labels of their place in the clip."""
    params = tiny(objective="masked_units", batch={"crop_s": 0.6})
    shards = make_shards(tmp_path / "shards", clips=30)
    spec = make_spec(shards, tmp_path / "run", params)
    data = training_data(*shards, params)
    labels = FrameLabels(spec.targets, [data.main.index])
    seen = list(updates_of(params, data, 6, targets=spec.targets))
    rest = list(updates_of(params, data, 6, targets=spec.targets, begin=seen[2].after, threads=2))
    assert len(rest) == 3
    for update, before in zip(rest, seen[3:], strict=True):
        (mine,), (expected,) = update.micros, before.micros
        assert mine.keys == expected.keys
        assert torch.equal(mine.audio.data, expected.audio.data)
        assert torch.equal(mine.units.data, expected.units.data)
        assert all(torch.equal(value, expected.prepared[name]) for name, value in mine.prepared.items())
    (batch,) = seen[0].micros
    assert max(batch.starts) > 0
    for row, (key, start) in enumerate(zip(batch.keys, batch.starts, strict=True)):
        whole_clip = labels.sidecars[0].get(key)[start // 640 :][: batch.units.data.shape[1]]
        assert batch.units.data[row, : len(whole_clip)].tolist() == whole_clip.tolist()


def test_a_clip_heard_again_in_an_epoch_is_masked_anew(tmp_path: Path) -> None:
    params = tiny(batch={"crop_s": 8.0, "seconds": 8.0})
    shard_set, clips = make_shards(tmp_path / "shards", clips=30)
    table = pq.read_table(clips)
    twice = pa.array([2.0] * len(table))
    pq.write_table(table.set_column(table.column_names.index("weight"), "weight", twice), clips)
    data = training_data(shard_set, clips, params)
    masks: dict[str, list[Tensor]] = {}
    for update in updates_of(params, data, 20):
        for batch in update.micros:
            if batch.epoch:
                continue
            for key, mask_F in zip(batch.keys, batch.prepared["mask_BF"], strict=True):
                masks.setdefault(key, []).append(mask_F)
    assert len(masks) == 21
    assert all(len(found) == 2 and not torch.equal(*cut(found)) for found in masks.values())


def cut(masks: list[Tensor]) -> list[Tensor]:
    """Masks of one clip, in batches padded to different lengths."""
    least = min(len(mask) for mask in masks)
    return [mask[:least] for mask in masks]
