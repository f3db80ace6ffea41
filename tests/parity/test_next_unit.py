"""The packed language model of units against transformers on each clip alone, and its export in plain transformers."""

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from allears.checkpoints.export import save_export
from allears.downstream.unit_lm import negative_log
from allears.objectives.next_unit import NextUnit, pack, without_repeats
from allears.params.objective import NextUnitConfig
from allears.types import Batch, Padded

CONFIG = NextUnitConfig(units=9, width=16, blocks=2, heads=2, ffn_width=24, context=20, remove_repeats=False)
LENGTHS = (12, 5, 7, 1, 20, 3)


def sequences(seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, 9, length) for length in LENGTHS]


def batch(some, model):
    units = torch.full((len(some), max(map(len, some))), -1)
    for row, units_U in enumerate(some):
        units[row, : len(units_U)] = torch.from_numpy(units_U)
    rows = len(some)
    found = Batch(
        keys=tuple(map(str, range(rows))), starts=(0,) * rows, before=(0,) * rows, epoch=0, step=0,
        units=Padded(units, torch.tensor([len(each) for each in some])),
    )  # fmt: skip
    found.prepared.update(model.prepare(found))
    return found


def test_the_packed_loss_is_that_of_transformers_on_each_clip_alone():
    model = NextUnit(CONFIG, seed=3)
    some = sequences()
    found = model(batch(some, model))
    expected = torch.zeros(())
    for units_U in some:
        tokens = torch.tensor([[9, *units_U.tolist()]])
        loss = model.lm(input_ids=tokens, labels=tokens).loss
        expected = expected + loss * len(units_U)
    torch.testing.assert_close(found.loss_sum, expected, rtol=1e-5, atol=1e-4)
    assert int(found.count) == sum(LENGTHS)
    found.loss_sum.backward()
    mine = model.lm.model.embed_tokens.weight.grad.clone()
    model.zero_grad()
    expected.backward()
    torch.testing.assert_close(mine, model.lm.model.embed_tokens.weight.grad, rtol=1e-4, atol=1e-5)


def test_no_clip_sees_another_of_its_row():
    """Whatever the clips before it in a row are, a clip's scores stay the same to the last bit that matters."""
    model = NextUnit(CONFIG, seed=3).eval()
    some = sequences()
    packed = pack(some, 20, start=9)
    shared = {
        place for row in packed["clips"] for place in set(row.tolist()) - {-1} if len(set(row.tolist()) - {-1}) > 1
    }
    assert len(shared) >= 4
    first = negative_log(model.lm, some)
    for changed in range(len(some)):
        others = [units_U if place != changed else (units_U + 1) % 9 for place, units_U in enumerate(some)]
        second = negative_log(model.lm, others)
        for place in range(len(some)):
            if place != changed:
                np.testing.assert_allclose(second[place], first[place], rtol=0, atol=1e-5)


def test_rows_hold_each_unit_once_and_positions_begin_anew():
    some = sequences()
    packed = pack(some, 20, start=9)
    assert packed["tokens"].shape[1] == 20
    assert packed["tokens"].size < 2 * sum(LENGTHS)  # little padding
    for place, units_U in enumerate(some):
        rows, columns = np.nonzero(packed["clips"] == place)
        assert len(set(rows.tolist())) == 1
        assert packed["tokens"][rows, columns].tolist() == [9, *units_U[:-1].tolist()]
        assert packed["positions"][rows, columns].tolist() == list(range(len(units_U)))
    order = packed["clips"].reshape(-1)
    inside = order[order >= 0]
    assert [packed["targets"][inside == place].tolist() for place in range(len(some))] == [
        each.tolist() for each in some
    ]
    long = pack([np.arange(30) % 9], 20, start=9)
    assert long["tokens"].shape == (1, 30)


def test_a_unit_that_lasts_counts_once():
    assert without_repeats(np.array([3, 3, 3, 1, 1, 3])).tolist() == [3, 1, 3]
    assert without_repeats(np.array([], dtype=np.int64)).tolist() == []


def test_the_export_opens_in_plain_transformers(tmp_path):
    model = NextUnit(CONFIG, seed=3).eval()
    folder = save_export(tmp_path / "run", model.exports(), {}, "# A card")
    lm, tokenizer = AutoModelForCausalLM.from_pretrained(folder / "lm"), AutoTokenizer.from_pretrained(folder / "lm")
    assert type(lm).__name__ == "LlamaForCausalLM"
    tokens = tokenizer("<u3><u1><u8>", return_tensors="pt").input_ids
    assert tokens.tolist() == [[9, 3, 1, 8]]
    assert tokenizer.decode(tokens[0], skip_special_tokens=True).replace(" ", "") == "<u3><u1><u8>"
    with torch.no_grad():
        torch.testing.assert_close(lm(tokens).logits, model.lm(tokens).logits)
    (nll_U,) = negative_log(model.lm, [np.array([3, 1, 8])])
    with torch.no_grad():
        expected = -lm(tokens).logits.log_softmax(-1)[0, torch.arange(3), tokens[0, 1:]]
    np.testing.assert_allclose(nll_U, expected.numpy(), rtol=0, atol=1e-5)
