"""One training shared out to several processes, for real (gloo): the same batches, the same learning, killed or not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from allears.checkpoints.steps import step_file, steps
from allears.checkpoints.training_state import data_of, load_state, weights_of
from allears.errors import ConfigError
from allears.params.spec_pretrain import PretrainSpec
from allears.process.events import read_events
from allears.process.spec_file import write_spec
from allears.shards.index import read_index
from allears.storage.files import read_json
from allears.training.plan import training_data
from allears.training.ranks import Ranks, from_environment
from tests.long import LONG, only_long, report
from tests.pretraining import make_spec, tiny, updates_of
from tests.processes import LIMIT_S, alive, children, start, wait_for
from tests.support import make_shards


def finished(spec: PretrainSpec) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """The final weights, and where in the data they are."""
    state = load_state(Path(read_json(spec.folder / "receipt.json")["notes"]["checkpoint"]))
    return weights_of(state), {"done": state["global_step"]} | data_of(state)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PretrainSpec]:
    """The same training by one process and by two, with DDP (twice) and with FSDP2."""
    folder = tmp_path_factory.mktemp("ranks")
    shards = make_shards(folder / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    alone = tiny(objective="masked_units", updates=24, checkpoint_every=3, batch=batch)
    shared = alone.model_copy(update={"processes": 2, "reader_threads": 2})
    sharded = shared.model_copy(update={"strategy": "fsdp"})
    every = {"one": alone, "two": shared, "killed": shared, "sharded": sharded}
    return {name: make_spec(shards, folder / name, params) for name, params in every.items()}


@pytest.fixture(scope="module")
def done(specs: dict[str, PretrainSpec]) -> dict[str, PretrainSpec]:
    for name in ("one", "two", "sharded"):
        command = start(specs[name])
        assert command.wait(LIMIT_S) == 0, command.stderr.read()
    return specs


def test_two_processes_learn_what_one_does(done: dict[str, PretrainSpec]) -> None:
    (one, where), (two, there) = finished(done["one"]), finished(done["two"])
    assert where == there  # the same samples of the same batches
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-6, msg=name)
    rows = [
        {event["step"]: event["values"] for event in read_events(done[name].folder) if event["kind"] == "metrics"}
        for name in ("one", "two")
    ]
    assert rows[1].keys() == rows[0].keys()
    for step, row in rows[0].items():  # those of dev speakers too, which the two share
        for name in {"loss", "masked_accuracy", "dev_loss", "dev_masked_share"} & row.keys():
            assert rows[1][step][name] == pytest.approx(row[name], rel=1e-5), (step, name)


def test_two_processes_with_sharded_weights_do_so_too(done: dict[str, PretrainSpec], tmp_path: Path) -> None:
    (one, where), (sharded, there) = finished(done["one"]), finished(done["sharded"])
    assert where == there
    biases = {name for name in one if name.endswith("query_key.bias")}  # of keys: no gradient but rounding, which AdamW
    assert len(biases) == 2  # makes steps of
    for name in one.keys() - biases:
        torch.testing.assert_close(sharded[name], one[name], rtol=0, atol=1e-5, msg=name)
    shutil.copytree(done["sharded"].folder, tmp_path / "on")  # one process goes on from what two have saved
    (tmp_path / "on" / "receipt.json").unlink()
    step_file(tmp_path / "on" / "checkpoints", 24).unlink()
    spec = done["one"].model_copy(update={"folder": tmp_path / "on"})
    command = start(spec)
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    (resumed, there) = finished(spec)
    assert where == there
    for name in one.keys() - biases:
        torch.testing.assert_close(resumed[name], one[name], rtol=0, atol=1e-5, msg=name)


WAVES = {
    "channels": 8, "width": 16, "blocks": 2, "heads": 2, "ffn_width": 32, "position_kernel": 4, "position_groups": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "objective", "encoder"), [("ddp", "masked_units", "conformer"), ("fsdp", "wav2vec2", "waveform")]
)
def test_ranks_wait_for_none_that_has_fewer_batches(
    tmp_path: Path, strategy: str, objective: str, encoder: str
) -> None:
    """Epochs of an odd number of micro-batches, and three batches of dev speakers, for two processes."""
    shards = make_shards(tmp_path / "shards", clips=23)
    batch = {"seconds": 4.0, "crop_s": 1.5, "micro_batches": 2}
    params = tiny(
        objective=objective, encoder=encoder, encoders={"waveform": WAVES}, updates=12, batch=batch, validate_batches=3,
        timeout_s=60.0,
    )  # fmt: skip
    data = training_data(*shards, params)
    micros = [
        len(update.micros)
        for update in updates_of(params, data, 12, targets=make_spec(shards, tmp_path / "x", params).targets)
    ]
    assert 1 in micros  # the last update of an epoch
    one = make_spec(shards, tmp_path / "one", params)
    two = make_spec(shards, tmp_path / "two", params.model_copy(update={"processes": 2, "strategy": strategy}))
    for spec in (one, two):
        command = start(spec)
        assert command.wait(LIMIT_S) == 0, command.stderr.read()
    (expected, where), (found, there) = finished(one), finished(two)
    assert where == there
    of_keys = {name for name in expected if name.endswith(("query_key.bias", "query_key_value.bias"))}
    for name in expected.keys() - of_keys:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-5, msg=name)


def test_a_process_that_is_killed_ends_the_others_and_the_next_run_goes_on(done: dict[str, PretrainSpec]) -> None:
    spec = done["killed"]
    command = start(spec)
    wait_for("a checkpoint", lambda: steps(spec.folder / "checkpoints"))
    (agent,) = children(command.pid)
    ranks = [pid for pid in children(agent) if b"allears.training.run" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert command.wait(LIMIT_S) != 0
    assert b"process 1 of 2 ended with SIGKILL" in command.stderr.read()
    wait_for("the other process to end", lambda: not any(alive(pid) for pid in ranks))
    assert not (spec.folder / "receipt.json").exists()

    if LONG:
        command = start(spec)
        wait_for("another checkpoint", lambda: max(steps(spec.folder / "checkpoints")) > 6)
        (agent,) = children(command.pid)
        ranks = children(agent)
        os.kill(command.pid, signal.SIGKILL)  # nothing may train on when the command is gone
        wait_for("all processes to end", lambda: not any(alive(pid) for pid in (agent, *ranks)))

    command = start(spec)
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    (whole, where), (found, there) = finished(done["two"]), finished(spec)
    assert where == there
    for name, tensor in whole.items():
        assert torch.equal(tensor, found[name]), name


def test_a_reason_that_one_process_gives_is_the_commands(done: dict[str, PretrainSpec]) -> None:
    spec = done["two"].model_copy(update={"folder": done["two"].folder.parent / "lost", "clips": Path("/nowhere")})
    command = start(spec)
    assert command.wait(LIMIT_S) != 0
    said = command.stderr.read().decode()
    assert "/nowhere" in said.splitlines()[-1]


def test_what_only_one_process_knows_is_the_reason(tmp_path: Path) -> None:
    """One clip is damaged: whoever gets it says so, and not that its peer has gone."""
    shard_set, clips = make_shards(tmp_path / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    params = tiny(objective="masked_units", updates=400, validate_batches=0, batch=batch, processes=2)
    spec = make_spec((shard_set, clips), tmp_path / "run", params)
    index = read_index(shard_set)
    tar = shard_set.folder / index.shards[0]
    data = bytearray(tar.read_bytes())
    data[int(index.offset_N[0]) + 60] ^= 1
    tar.write_bytes(data)
    assert start(spec).wait(LIMIT_S) != 0
    reason = read_json(spec.folder / "error.json")
    assert reason["kind"] == "DamageError"
    assert f"clip {index.clips[0]}" in reason["error"]


def test_a_process_that_does_not_answer_in_time_ends_the_training_and_the_next_run_goes_on(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    params = tiny(updates=200, checkpoint_every=5, validate_batches=0, batch=batch, processes=2)
    whole, stopped = (make_spec(shards, tmp_path / name, params) for name in ("whole", "stopped"))
    command = start(whole)
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    impatient = stopped.model_copy(update={"pretrain": params.model_copy(update={"timeout_s": 3.0})})
    command = start(impatient)
    wait_for("a checkpoint", lambda: steps(stopped.folder / "checkpoints"))
    (agent,) = children(command.pid)
    ranks = [pid for pid in children(agent) if b"allears.training.run" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(ranks[1], signal.SIGSTOP)
    try:
        wait_for("the reason", (stopped.folder / "error.json").exists)
    finally:
        os.kill(ranks[1], signal.SIGCONT)
    assert command.wait(LIMIT_S) != 0
    reason = read_json(stopped.folder / "error.json")
    assert reason["kind"] == "PeerLostError"
    assert reason["error"].startswith("another process of this training has ended, or did not answer in time (")
    assert reason["error"].endswith("Run the same command again: it goes on from the last checkpoint")
    assert command.stderr.read().decode().splitlines()[-1].endswith(reason["error"])
    wait_for("all processes to end", lambda: not any(alive(pid) for pid in (agent, *ranks)))
    assert not (stopped.folder / "receipt.json").exists()
    kept = max(steps(stopped.folder / "checkpoints"))
    assert 0 < kept < 200

    command = start(impatient.model_copy(update={"pretrain": params}))
    assert command.wait(LIMIT_S) == 0, command.stderr.read()
    assert not (stopped.folder / "error.json").exists()
    begun = [event["step"] for event in read_events(stopped.folder) if event["kind"] == "start"]
    assert begun == [0, kept]
    (expected, where), (found, there) = finished(whole), finished(stopped)
    assert where == there
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_micro_batches_that_processes_cannot_share_are_one_sentence(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", clips=45)
    spec = make_spec(shards, tmp_path / "run", tiny(batch={"seconds": 2.0, "micro_batches": 3}))
    spec.folder.mkdir()
    write_spec(spec.folder / "spec.json", spec)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "allears.training.run", str(spec.folder / "spec.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    reason = read_json(spec.folder / "error.json")
    assert reason["kind"] == "ConfigError"
    assert reason["error"] == (
        "2 processes cannot share the 3 micro-batches of an update; start one of 1, 3, or change "
        "pretrain.batch.micro_batches"
    )
    assert reason["error"] in done.stderr.splitlines()


@only_long
def test_several_processes_skip_what_one_does(tmp_path: Path) -> None:
    shard_set, clips = make_shards(tmp_path / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    params = tiny(objective="masked_units", updates=12, batch=batch, on_damage="skip")
    one = make_spec((shard_set, clips), tmp_path / "one", params)
    two = make_spec((shard_set, clips), tmp_path / "two", params.model_copy(update={"processes": 2}))
    index = read_index(shard_set)
    os.truncate(shard_set.folder / index.shards[1], int(index.offset_N[40]) + 60)  # clips 40 to 44
    for spec in (one, two):
        command = start(spec)
        assert command.wait(LIMIT_S) == 0, command.stderr.read()
    assert finished(one)[1] == finished(two)[1]
    notes = [read_json(spec.folder / "receipt.json")["notes"] for spec in (one, two)]
    assert notes[0]["clips_skipped"] == notes[1]["clips_skipped"] > 0
    named = [
        {event["values"]["skipped"] for event in read_events(spec.folder) if event["kind"] == "note"}
        for spec in (one, two)
    ]
    assert named[0] == named[1]
    found = {clip for clip in index.clips if any(f"clip {clip}," in sentence for sentence in named[0])}
    assert found == set(index.clips[40:])  # all of speakers to train on


def test_who_is_one_of_several() -> None:
    assert from_environment({}) == Ranks()
    told = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "SLURM_STEP_NUM_TASKS": "2"}
    assert from_environment(told) == Ranks(3, 8, 1, 8)
    assert from_environment(told | {"LOCAL_WORLD_SIZE": "4"}) == Ranks(3, 8, 1, 4)
    with pytest.raises(ConfigError, match="srun started 8 trainings in one folder"):
        from_environment({"SLURM_STEP_NUM_TASKS": "8"})


@only_long
def test_killed_twenty_times_with_other_readers_it_ends_the_same(tmp_path: Path) -> None:
    """A kill at a random moment after each new checkpoint; another number of reading threads each time."""
    shards = make_shards(tmp_path / "shards", clips=45)
    batch = {"seconds": 2.0, "micro_batches": 2}
    params = tiny(objective="masked_units", updates=1500, checkpoint_every=5, validate_batches=0, batch=batch)
    whole = make_spec(shards, tmp_path / "whole", params)
    assert start(whole).wait(LIMIT_S) == 0
    killed = whole.model_copy(update={"folder": tmp_path / "killed"})
    rng, at = np.random.default_rng(0), 0
    for kill in range(20):
        spec = killed.model_copy(update={"pretrain": params.model_copy(update={"reader_threads": 1 + kill % 3})})
        command = start(spec)
        wait_for("a new checkpoint", lambda at=at: max(steps(killed.folder / "checkpoints"), default=0) > at)
        time.sleep(rng.uniform(0, 0.1))
        (child,) = children(command.pid)
        os.kill(child, signal.SIGKILL)
        assert command.wait(LIMIT_S) != 0
        at = max(steps(killed.folder / "checkpoints"))  # with that which was written meanwhile
    assert at < 1500
    assert start(killed).wait(LIMIT_S) == 0
    (expected, where), (found, there) = finished(whole), finished(killed)
    assert where == there
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    report("pretraining, 20 SIGKILLs, 1 to 3 reading threads", "weights identical; same samples of the same batches")
