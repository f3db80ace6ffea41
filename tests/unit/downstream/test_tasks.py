import pytest
import torch
from torch.nn import functional

from allears.downstream.build import build_task
from allears.params.task import ClassifyConfig, CTCConfig
from allears.types import Padded

CONFIGS = [
    ClassifyConfig(target="label", classes=("a", "b", "c")),
    CTCConfig(alphabet=tuple(" abc")),
    CTCConfig(alphabet=tuple(" abc"), head="conv", hidden=16),
]
REFERENCES = ["a", "b", "c"]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_clip_has_the_same_loss_alone_as_in_a_batch(config, encoder, batch):
    model = build_task(config, 16, encoder).eval()
    targets = [model.encode_target(reference) for reference in REFERENCES]
    together, count = model.loss(batch, targets)
    alone = [
        model.loss(Padded(batch.data[i : i + 1, :frames], batch.lengths_B[i : i + 1]), [targets[i]])
        for i, frames in enumerate(batch.lengths_B.tolist())
    ]
    assert count == sum(one[1] for one in alone)
    torch.testing.assert_close(together, sum(one[0] for one in alone), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_task_learns_three_clips_by_heart(config, encoder, batch):
    model = build_task(config, 16, encoder)
    targets = [model.encode_target(reference) for reference in REFERENCES]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for _ in range(100):
        optimiser.zero_grad()
        loss, count = model.loss(batch, targets)
        (loss / count).backward()
        optimiser.step()
    assert model.eval().predict(batch) == REFERENCES


@pytest.mark.parametrize("config", CONFIGS)
def test_a_frozen_encoders_outputs_give_what_the_encoder_gives(config, encoder, batch):
    whole, head = build_task(config, 16, encoder, seed=3).eval(), build_task(config, 16, seed=3).eval()
    hidden = Padded(encoder.encode(batch).last_BFD, batch.lengths_B)
    torch.testing.assert_close(whole(batch), head(hidden))


def test_seeds_decide_the_head():
    config = CONFIGS[0]
    one, same, other = (build_task(config, 16, seed=seed).head.state_dict()["linear.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_errors_count_clips_for_labels_and_characters_for_text():
    assert build_task(CONFIGS[0], 16).errors("a", "b") == (1, 1)
    assert build_task(CONFIGS[1], 16).errors("a bc", "abcc") == (2, 4)


def test_classification_loss_is_cross_entropy(encoder, batch):
    model = build_task(CONFIGS[0], 16, encoder).eval()
    loss, _ = model.loss(batch, [[0], [1], [2]])
    torch.testing.assert_close(loss, functional.cross_entropy(model(batch), torch.arange(3), reduction="sum"))


def test_a_text_that_does_not_fit_adds_nothing_to_the_loss(encoder, batch):
    model = build_task(CONFIGS[1], 16, encoder)
    loss, count = model.loss(batch, [model.encode_target("a" * 30) for _ in range(3)])
    assert (loss.item(), count) == (0.0, 90)
