"""One pretraining in this process: its budget, its guards, its extension."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from allears.checkpoints.training_state import data_of, load_state, weights_of
from allears.errors import CorpusError, DamageError, StaleError, TrainingError
from allears.objectives.best_rq import BestRQ
from allears.params.spec_pretrain import ExtendedRun
from allears.process.events import read_events
from allears.shards.index import read_index
from allears.storage.files import read_json
from allears.training import pretrain
from allears.training.module import PretrainModule
from allears.training.ranks import Ranks
from allears.types import Batch, ObjectiveOutput
from tests.pretraining import make_spec, tiny
from tests.support import make_shards


def test_it_uses_its_budget_and_says_what_it_heard(tmp_path: Path) -> None:
    spec = make_spec(make_shards(tmp_path / "shards", clips=40), tmp_path / "run", tiny(objective="masked_units"))
    pretrain.run(spec)
    notes = read_json(spec.folder / "receipt.json")["notes"]
    assert notes["updates"] == 8
    assert 0 < notes["hours_heard"] <= 8 * 4.0 / 3600
    events = read_events(spec.folder)
    assert [event["kind"] for event in events][:2] == ["start", "params"]
    assert events[-1]["kind"] == "end"
    rows = {event["step"]: event for event in events if event["kind"] == "metrics" and "loss" in event["values"]}
    assert sorted(rows) == [2, 4, 6, 8]
    assert rows[8]["hours_heard"] == pytest.approx(notes["hours_heard"])
    for name in ("gradient_norm", "codes_perplexity", "predictions_used_share", "times_real_time", "data_wait_share"):
        assert name in rows[4]["values"]
    assert [event["step"] for event in events if "dev_loss" in event["values"]] == [4, 8]
    before = (spec.folder / "receipt.json").stat().st_mtime_ns
    pretrain.run(spec)
    assert (spec.folder / "receipt.json").stat().st_mtime_ns == before


def test_it_learns_what_can_be_learned(tmp_path: Path) -> None:
    params = tiny(objective="masked_units", updates=150, log_every=10, validate_batches=0, checkpoint_every=1000)
    spec = make_spec(make_shards(tmp_path / "shards", clips=40), tmp_path / "run", params)
    pretrain.run(spec)
    rows = [event["values"] for event in read_events(spec.folder) if event["kind"] == "metrics"]
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert rows[-1]["masked_accuracy"] > rows[0]["masked_accuracy"] + 0.1


def test_an_extension_adds_updates_and_goes_on_in_the_plan(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=40)
    first = make_spec(shards, tmp_path / "first", tiny(updates=4))
    pretrain.run(first)
    notes = read_json(first.folder / "receipt.json")["notes"]
    before = ExtendedRun(run="first", identity="x", checkpoint=Path(notes["checkpoint"]), updates=4)
    more = make_spec(shards, tmp_path / "more", tiny(updates=6), extends=before)
    pretrain.run(more)
    after = read_json(more.folder / "receipt.json")["notes"]
    assert after["updates"] == 10
    assert after["hours_heard"] > notes["hours_heard"]
    state, earlier = load_state(Path(after["checkpoint"])), load_state(Path(notes["checkpoint"]))
    assert data_of(state)["step"] == state["global_step"] == 10
    assert data_of(state)["batches"] == data_of(earlier)["batches"]
    heads = [weights_of(one)["head.weight"] for one in (state, earlier)]
    assert not torch.equal(*heads)


def test_a_run_does_not_go_on_in_another_precision(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=30)
    spec = make_spec(shards, tmp_path / "run", tiny(updates=2))
    pretrain.run(spec)
    assert read_json(spec.folder / "receipt.json")["notes"]["precision"] == "32"
    longer = make_spec(shards, tmp_path / "run", tiny(updates=4, precision="bf16-mixed"))
    longer = longer.model_copy(update={"identity": "of another machine, where auto is bf16"})
    with pytest.raises(TrainingError, match="begun in precision 32, and would go on in bf16-mixed here"):
        pretrain.run(longer)


def test_an_extension_on_more_data_begins_at_an_epoch_that_a_person_names(tmp_path: Path) -> None:
    first = make_spec(make_shards(tmp_path / "a", clips=30), tmp_path / "first", tiny(updates=4))
    pretrain.run(first)
    before = ExtendedRun(
        run="first", identity="x", updates=4, checkpoint=first.folder / "checkpoints" / "step-000000004.pt"
    )
    larger = make_shards(tmp_path / "b", clips=50)
    more = make_spec(larger, tmp_path / "more", tiny(updates=3, extend="first"), extends=before)
    told = r"run first: .*clips selected \(then 21, now 35\).*pretrain\.extend=first,pretrain\.from_epoch=(\d+)$"
    with pytest.raises(StaleError, match=told) as error:
        pretrain.run(more)
    epoch = int(str(error.value).rsplit("=", 1)[1])
    named = make_spec(larger, tmp_path / "more", tiny(updates=3, extend="first", from_epoch=epoch), extends=before)
    pretrain.run(named)
    notes = read_json(more.folder / "receipt.json")["notes"]
    assert notes["updates"] == 7
    assert data_of(load_state(Path(notes["checkpoint"])))["epoch"] >= epoch > 0


def test_a_checkpoint_of_other_batches_is_refused(tmp_path: Path) -> None:
    spec = make_spec(make_shards(tmp_path / "a", clips=30), tmp_path / "run", tiny(updates=4))
    pretrain.run(spec)
    (spec.folder / "receipt.json").unlink()
    other = make_spec(make_shards(tmp_path / "b", clips=30, seed=1), tmp_path / "run", tiny(updates=8))
    with pytest.raises(
        StaleError, match=r"run run: .*Changed: the shards \(then .*pretrain\.extend=run,pretrain\.from_epoch"
    ):
        pretrain.run(other)


def test_an_epoch_is_named_with_the_run_that_goes_on() -> None:
    with pytest.raises(ValidationError, match=r"pretrain\.from_epoch \(2\) says where a run goes on"):
        tiny(from_epoch=2)


def test_a_loss_that_is_no_number_stops_with_a_sentence_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    params = tiny(updates=30, optimiser={"learning_rate": 1e30, "clip_norm": 1e30, "warmup_updates": 1})
    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", params)
    with pytest.raises(TrainingError, match=r"diverged: the (loss on clips|gradient).* at update \d+ of 30; lower"):
        pretrain.run(spec)
    assert not (spec.folder / "receipt.json").exists()


def test_collapsed_predictions_stop(tmp_path: Path) -> None:
    guards = {"collapse_perplexity": 30.0, "patience_updates": 6}  # the targets use about 80 codes, predictions fewer
    params = tiny(updates=40, guards=guards, objectives={"best_rq": {"codebooks": 1, "codes": 512}})
    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", params)
    with pytest.raises(TrainingError, match=r"the predictions collapsed.* while the targets have \d"):
        pretrain.run(spec)
    assert any("collapse" in str(e["values"]) for e in read_events(spec.folder) if e["kind"] == "note")


def test_damaged_clips_stop_or_are_skipped_and_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A skipped clip leaves a hole in its batches, the same one whenever the run is taken up again."""
    shards = make_shards(tmp_path / "shards", clips=40)
    params = tiny(objective="masked_units", batch={"micro_batches": 2}, updates=12, validate_every=3)
    specs = {
        name: make_spec(shards, tmp_path / name, params.model_copy(update={"on_damage": damage}))
        for name, damage in (("whole", "stop"), ("stopped", "stop"), ("skipped", "skip"), ("again", "skip"))
    }
    pretrain.run(specs["whole"])
    index = read_index(shards[0])
    tar = shards[0].folder / index.shards[0]
    data = bytearray(tar.read_bytes())
    for place in (0, 7):  # of a speaker for training, and of one for dev
        data[int(index.offset_N[place]) + int(index.length_N[place]) // 2] ^= 1
    tar.write_bytes(data)
    with pytest.raises(DamageError, match=rf"shard {tar}, clip .*, offset \d+: .*pretrain\.on_damage=skip"):
        pretrain.run(specs["stopped"])

    pretrain.run(specs["skipped"])
    notes, whole = (read_json(specs[name].folder / "receipt.json")["notes"] for name in ("skipped", "whole"))
    assert notes["clips_skipped"] == notes["metrics"]["clips_skipped"] > 0 == whole["clips_skipped"]
    lost_s = notes["clips_skipped"] * min(int(index.samples_N[0]), 16_000) / 16_000
    assert notes["hours_heard"] == pytest.approx(whole["hours_heard"] - lost_s / 3600)
    assert notes["metrics"]["dev_clips_skipped"] == 1
    named = [event["values"]["skipped"] for event in read_events(specs["skipped"].folder) if event["kind"] == "note"]
    assert all(f"clip {index.clips[0]}, offset {index.offset_N[0]}" in sentence for sentence in named)
    assert f"warning: skipped: {named[0]}" in capfd.readouterr().out

    half = specs["again"].model_copy(update={"pretrain": specs["again"].pretrain.model_copy(update={"updates": 6})})
    pretrain.run(half)
    (half.folder / "receipt.json").unlink()
    pretrain.run(specs["again"])
    assert read_json(specs["again"].folder / "receipt.json")["notes"]["clips_skipped"] == notes["clips_skipped"]
    state = load_state(Path(notes["checkpoint"]))
    assert data_of(state) == data_of(load_state(specs["again"].folder / "checkpoints" / "step-000000012.pt"))


def test_where_nothing_is_left_to_hear_it_stops(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=40)
    spec = make_spec(shards, tmp_path / "run", tiny(on_damage="skip"))
    for tar in shards[0].folder.glob("*.tar"):
        tar.unlink()
    with pytest.raises(DamageError, match=r"all \d+ clips of update 1 are damaged or gone, .*\.tar is missing"):
        pretrain.run(spec)


def test_less_audio_than_a_batch_or_none_is_an_error_with_numbers(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=20)
    with pytest.raises(TrainingError, match=r"smaller than one batch: 14 training clips give .* hears 400 s"):
        pretrain.run(make_spec(shards, tmp_path / "a", tiny(batch={"seconds": 400.0})))
    with pytest.raises((TrainingError, CorpusError), match="no clip to train on"):
        pretrain.run(make_spec(shards, tmp_path / "b", tiny(batch={"min_s": 3.0, "crop_s": 4.0, "seconds": 5.0})))


def test_validation_is_in_the_precision_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[bool, bool]] = set()
    forward = BestRQ.forward

    def noting(self: BestRQ, batch: Batch) -> ObjectiveOutput:
        seen.add((self.training, torch.is_autocast_enabled("cpu")))
        return forward(self, batch)

    monkeypatch.setattr(BestRQ, "forward", noting)
    shards = make_shards(tmp_path / "shards", clips=30)
    for precision, autocast in (("bf16-mixed", True), ("32", False)):
        seen.clear()
        spec = make_spec(shards, tmp_path / precision, tiny(updates=2, precision=precision))
        pretrain.run(spec)
        events = [event["values"] for event in read_events(spec.folder) if event["kind"] == "metrics"]
        assert any("dev_loss" in values for values in events)
        assert seen - {(True, False)} == {(True, autocast), (False, autocast)} - {(True, False)}


def test_a_checkpoint_holds_what_is_trained_and_a_frozen_part_comes_from_the_model(tmp_path: Path) -> None:
    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", tiny(updates=2))
    module = PretrainModule(pretrain.new_objective(spec.pretrain), spec, Ranks(), "32")
    frozen = set()
    for name, parameter in module.named_parameters():
        if "blocks.0" in name:
            parameter.requires_grad_(requires_grad=False)
            frozen.add(name)
    whole = module.state_dict()
    checkpoint = {"state_dict": dict(whole)}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == whole.keys() - frozen
    assert len(frozen) > 10
    module.on_load_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == whole.keys()


def test_the_log_has_the_operations_of_a_second_of_audio(tmp_path: Path) -> None:
    """Linear layers take twice their parameters per frame, three times for both passes; the mel filters once."""
    spec = make_spec(make_shards(tmp_path / "shards", clips=30), tmp_path / "run", tiny(updates=2))
    pretrain.run(spec)
    objective = pretrain.new_objective(spec.pretrain)
    matrices = sum(each.weight.numel() for each in objective.encoder.modules() if isinstance(each, torch.nn.Linear))
    (row,) = [event["values"] for event in read_events(spec.folder) if "flop_per_audio_s" in event["values"]]
    least = 3 * 2 * matrices * 25 + 2 * 257 * 80 * 100
    assert least < row["flop_per_audio_s"] < 1.6 * least  # attention, convolution, head and padded frames come on top
    assert "device_peak_share" not in row  # nobody knows the peak of this processor
