import dataclasses

import pytest
import torch

from allears.errors import ConfigError, TrainingError
from allears.objectives.build import build_objective
from allears.objectives.masking import mask_batch
from allears.params.model import ConformerConfig
from allears.params.objective import BestRQConfig, MaskedUnitsConfig
from allears.types import Batch, Padded
from tests.reference.masked_prediction import codebook_cross_entropy, cosine_cross_entropy

ENCODER = ConformerConfig(width=16, blocks=2, heads=2, ffn_width=32, kernel_frames=3)
UNITS = MaskedUnitsConfig(units=7, final_width=8)
ILS = MaskedUnitsConfig(units=7, final_width=8, intermediate_blocks=(1,))
CODES = BestRQConfig(codebooks=2, codes=8, code_width=4)
SEEN = MaskedUnitsConfig(units=7, final_width=8, visible_weight=0.5)
SEEN_CODES = BestRQConfig(codebooks=2, codes=8, code_width=4, visible_weight=0.5)
ALL = pytest.mark.parametrize(
    "config", [UNITS, ILS, CODES, SEEN, SEEN_CODES], ids=["masked_units", "ils", "best_rq", "seen_units", "seen_codes"]
)


def batch(rows=(0, 1, 2), epoch=0):
    lengths = [16000, 9000, 12000]
    generator = torch.Generator().manual_seed(0)
    audio = [0.1 * torch.randn(length, generator=generator) for length in lengths]
    units = torch.randint(0, 7, (3, 25), generator=generator)
    T = max(lengths[row] for row in rows)
    padded = torch.zeros(len(rows), T)
    for place, row in enumerate(rows):
        padded[place, : lengths[row]] = audio[row]
    return Batch(
        keys=tuple(f"clip-{row}" for row in rows),
        starts=(0,) * len(rows),
        before=(0,) * len(rows),
        epoch=epoch,
        step=0,
        audio=Padded(padded, torch.tensor([lengths[row] for row in rows])),
        units=Padded(units[list(rows)], torch.tensor([ENCODER.frames(lengths[row]) for row in rows])),
    )


def objective(config, seed=0):
    return build_objective(config, ENCODER, seed)


def output_of(model, some):
    """What `forward` returns for a batch, once it is prepared."""
    return model(dataclasses.replace(some, prepared=model.prepare(some)))


def with_units(some, units_BU):
    return dataclasses.replace(some, units=dataclasses.replace(some.units, data=units_BU))


@ALL
def test_a_loss_is_the_sum_of_its_clips_losses(config):
    """So neither batches, nor micro-batches, nor ranks change a gradient."""
    model = objective(config)
    together, parts = output_of(model, batch()), [output_of(model, batch((row,))) for row in range(3)]
    torch.testing.assert_close(together.loss_sum, sum(part.loss_sum for part in parts), rtol=1e-5, atol=1e-5)
    assert int(together.count) == int(sum(part.count for part in parts)) > 0
    for name in ("masked_accuracy", "masked_share", "loss"):
        assert float(together.metrics[name][0]) == pytest.approx(
            sum(float(part.metrics[name][0]) for part in parts), rel=1e-5
        )
    for name in ("codes", "predictions"):
        assert torch.equal(together.histograms[name], sum(part.histograms[name] for part in parts))


def filled_up(padded, value):
    """With one row more, of length 0."""
    row = torch.full_like(padded.data[:1], value)
    return Padded(torch.cat((padded.data, row)), torch.cat((padded.lengths_B, torch.tensor([0]))))


@ALL
def test_a_row_that_only_fills_the_batch_changes_nothing(config):
    model, plain = objective(config), batch((0, 1))
    filled = Batch(
        keys=(*plain.keys, ""),
        starts=(0,) * 3,
        before=(0,) * 3,
        epoch=0,
        step=0,
        audio=filled_up(plain.audio, 0.0),
        units=filled_up(plain.units, -1),
    )
    ours, expected = output_of(model, filled), output_of(model, plain)
    torch.testing.assert_close(ours.loss_sum, expected.loss_sum, rtol=1e-5, atol=1e-5)
    assert ours.count == expected.count
    gradients = []
    for some in (plain, filled):
        model.zero_grad()
        output_of(model, some).loss_sum.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@ALL
def test_histograms_count_every_masked_frame(config):
    output = output_of(objective(config), batch())
    books = getattr(config, "codebooks", 1)
    for histogram in output.histograms.values():
        assert histogram.sum() == output.metrics["loss"][1] * books
    assert output.histograms["codes"].shape == ((1, 7) if books == 1 else (2, 8))


@ALL
def test_every_weight_learns_and_the_loss_falls(config):
    model = objective(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses, moved = [], set()
    for _ in range(60):
        optimizer.zero_grad()
        output = output_of(model, batch())
        (output.loss_sum / output.count).backward()
        moved |= {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimizer.step()
        losses.append((output.loss_sum / output.count).item())
    assert moved == {name for name, _ in model.named_parameters()}
    assert losses[-1] < 0.6 * losses[0]
    accuracy, count = output.metrics["masked_accuracy"]
    assert 0.5 < float(accuracy) / float(count) <= 1.0


@pytest.mark.parametrize(("plain", "seen"), [(UNITS, SEEN), (CODES, SEEN_CODES)])
def test_visible_frames_weigh_as_told(plain, seen):
    """All frames at weight 1 are half of that plus half of what hidden frames alone give."""
    hidden, half = output_of(objective(plain), batch()), output_of(objective(seen), batch())
    whole = output_of(objective(seen.model_copy(update={"visible_weight": 1.0})), batch())
    torch.testing.assert_close(half.loss_sum, (hidden.loss_sum + whole.loss_sum) / 2)
    torch.testing.assert_close(half.count, (hidden.count + whole.count) / 2)
    assert int(whole.count) == int(hidden.metrics["masked_share"][1])
    assert half.metrics["loss"] == hidden.metrics["loss"]


@ALL
def test_masks_change_with_the_epoch_and_repeat_with_the_seed(config):
    model = objective(config)
    first, same, other = (float(output_of(model, batch(epoch=epoch)).loss_sum.detach()) for epoch in (0, 0, 1))
    assert first == same
    assert first != other
    again = objective(config)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


@ALL
def test_what_is_prepared_does_not_depend_on_the_weights(config):
    """Reader threads prepare batches ahead of the step, while the weights change."""
    model = objective(config)
    before = model.prepare(batch())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    after = model.prepare(batch())
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_inputs_are_declared():
    assert objective(UNITS).config.inputs == {"audio", "units"}
    assert objective(CODES).config.inputs == {"audio"}


def test_frames_without_a_unit_have_no_loss():
    model, whole = objective(UNITS), batch()
    units = whole.units.data.clone()
    units[1] = -1
    part = with_units(whole, units[:, :20])
    assert 0 < int(output_of(model, part).count) < int(output_of(model, whole).count)
    nothing = output_of(model, with_units(whole, torch.full((3, 25), -1)))
    assert int(nothing.count) == 0
    nothing.loss_sum.backward()
    assert float(nothing.loss_sum.detach()) == 0.0


def test_what_is_wrong_is_said():
    with pytest.raises(TrainingError, match="run the labelling step"):
        objective(UNITS).prepare(dataclasses.replace(batch(), units=None))
    with pytest.raises(TrainingError, match=r"unit 6, but pretrain\.objectives\.masked_units\.units is 5"):
        objective(MaskedUnitsConfig(units=5, final_width=8)).prepare(batch())
    with pytest.raises(ConfigError, match=r"masked_units\.intermediate_blocks names \[2\].*use numbers from 1 to 1"):
        objective(MaskedUnitsConfig(units=7, intermediate_blocks=(2,)))


def heard(model, some):
    """Layers and features of a batch, and which frames are hidden and which visible, padding left out."""
    features = model.encoder.features(some.audio)
    mask = torch.from_numpy(mask_batch(some, ENCODER.frames, model.config.mask, model.seed).mask_BF)
    visible = torch.zeros_like(mask)
    for row, count in enumerate(features.lengths_B.tolist()):
        visible[row, :count] = ~mask[row, :count]
    return model.encoder.encode(features, mask).layers, features.data, mask, visible


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("config", "blocks"), [(UNITS, (2,)), (ILS, (1, 2))], ids=["last", "ils"])
def test_masked_units_equals_the_slow_oracle(config, blocks, weight):
    model, some = objective(config.model_copy(update={"visible_weight": weight})), batch()
    some.units.data[0, 5:9] = -1
    with torch.no_grad():
        layers, _, hidden, visible = heard(model, some)
        expected = 0.0
        for head, block in zip(model.heads, blocks, strict=True):
            for frames_BF, share in ((hidden, 1.0), (visible, weight)):
                known = frames_BF & (some.units.data >= 0)
                projected = head.projection(layers[block][known]).double().tolist()
                units = head.units_VD.double().tolist()
                loss = cosine_cross_entropy(projected, units, some.units.data[known].tolist(), 0.1)
                expected += share * loss / len(blocks)
        assert float(output_of(model, some).loss_sum) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_best_rq_equals_the_slow_oracle(weight):
    model, some = objective(CODES.model_copy(update={"visible_weight": weight})), batch()
    with torch.no_grad():
        layers, features, hidden, visible = heard(model, some)
        expected = 0.0
        for frames_BF, share in ((hidden, 1.0), (visible, weight)):
            logits = model.head(layers[-1][frames_BF]).double().tolist()
            codes = model.quantizer(features[frames_BF]).tolist()
            expected += share * codebook_cross_entropy(logits, codes, CODES.codes)
        assert float(output_of(model, some).loss_sum) == pytest.approx(expected, rel=1e-5)
