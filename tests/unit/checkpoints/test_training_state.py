import os

import pytest
import torch

from allears.checkpoints.steps import steps
from allears.checkpoints.training_state import data_of, load_latest, load_state, save_state, weights_of
from allears.errors import StorageError


def a_training(updates):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    advance(model, optimizer, 0, updates)
    return model, optimizer


def advance(model, optimizer, first, last):
    for step in range(first, last):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    model, optimizer = a_training(3)
    save_state(tmp_path, 3, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "hours": 0.5})
    step, state = load_latest(tmp_path)
    resumed, again = a_training(0)
    resumed.load_state_dict(state["model"])
    again.load_state_dict(state["optimizer"])
    advance(resumed, again, step, 6)
    whole, _ = a_training(6)
    assert state["hours"] == 0.5
    assert torch.equal(resumed.weight, whole.weight)


def test_the_weights_of_a_checkpoint_are_those_of_the_objective(tmp_path):
    weight, optimizer = torch.ones(2), {"exp_avg": torch.zeros(2)}
    state = {"state_dict": {"objective.head.weight": weight, "other.weight": torch.zeros(1)}}
    save_state(tmp_path, 1, state | {"optimizer_states": [optimizer], "PretrainData": {"step": 1}})
    _, found = load_latest(tmp_path)
    assert weights_of(found).keys() == {"head.weight"}
    assert torch.equal(weights_of(found)["head.weight"], weight)
    assert data_of(found) == {"step": 1}


def test_only_the_newest_are_kept(tmp_path):
    assert load_latest(tmp_path / "nothing") is None
    for step in (10, 20, 30):
        save_state(tmp_path, step, {"step": step}, keep=2)
    (tmp_path / ".step-000000040.pt.abcd.tmp").write_bytes(b"half")
    assert steps(tmp_path) == [20, 30]
    assert load_latest(tmp_path) == (30, {"step": 30})


def test_damage_is_named(tmp_path):
    path = save_state(tmp_path, 1, {"x": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(StorageError, match=r"step-000000001\.pt"):
        load_state(path)
    with pytest.raises(StorageError, match="does not exist"):
        load_state(tmp_path / "step-000000002.pt")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("should-not-exist",)


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Evil()}, tmp_path / "step-000000001.pt")
    with pytest.raises(StorageError, match="can be read safely"):
        load_latest(tmp_path)
    assert not (tmp_path / "should-not-exist").exists()
