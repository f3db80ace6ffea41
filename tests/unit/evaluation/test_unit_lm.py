"""n-grams against counting by hand, and the judgements of a model that knows the truth or nothing."""

import numpy as np
import pytest

from allears.evaluation.ngrams import fit_ngrams
from allears.evaluation.unit_lm import HeldOut, evaluate


def test_a_unigram_is_witten_bell_by_hand():
    model = fit_ngrams([[0, 0, 1], [0, 2]], 1, 4)
    # five units of three kinds: (count + 3 / 4) / (5 + 3)
    assert model.probability(0, ()) == pytest.approx(3.75 / 8)
    assert model.probability(3, ()) == pytest.approx(0.75 / 8)


def test_a_bigram_backs_off_to_the_unigram_and_begins_at_the_start():
    model = fit_ngrams([[0, 0, 1], [0, 2]], 2, 4)
    unigram = fit_ngrams([[0, 0, 1], [0, 2]], 1, 4)
    # 0 is followed by 0, 1 and 2: (1 + 3 p(1)) / (3 + 3)
    assert model.probability(1, (0,)) == pytest.approx((1 + 3 * unigram.probability(1, ())) / 6)
    assert model.probability(1, (3,)) == pytest.approx(unigram.probability(1, ()))
    start = (2 + unigram.probability(0, ())) / 3  # both sequences begin with 0
    assert np.exp(-model.negative_log([0])[0]) == pytest.approx(start)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_of_any_context_add_up_to_one(order):
    random = np.random.default_rng(0)
    model = fit_ngrams([random.integers(0, 6, 30).tolist() for _ in range(5)], order, 7)
    for longest in [(), (1,), (6, 6), (2, 3)]:
        context = longest[-(order - 1) :] if order > 1 else ()
        assert sum(model.probability(unit, context) for unit in range(7)) == pytest.approx(1)


def counting(count, first):
    return np.array([(first + place) % 10 for place in range(count)])


def truth(sequences):
    """A model that knows that units are counted: likely after its predecessor, unlikely otherwise."""
    return [
        np.array([1.0, *np.where(np.diff(units_U) % 10 == 1, 0.1, 5.0)]) if len(units_U) else np.zeros(0)
        for units_U in sequences
    ]


def ignorance(sequences):
    return [np.full(len(units_U), np.log(10)) for units_U in sequences]


def held_out(clips=40):
    return HeldOut(
        sequences=[counting(12, 3 * clip % 10) for clip in range(clips)],
        languages=["en" if clip % 2 else "de" for clip in range(clips)],
        speakers=[f"s{clip % 8}" for clip in range(clips)],
    )


def test_a_model_that_knows_is_told_from_one_that_does_not():
    table = evaluate(held_out(), truth, ignorance, ignorance).set_index("language")
    assert list(table.index) == ["all", "de", "en"]
    row = table.loc["all"]
    assert row["perplexity"] == pytest.approx(np.exp((1 + 11 * 0.1) / 12))
    assert row["trigram"] == pytest.approx(10)
    assert row["gain"] == pytest.approx(np.log(10) - 2.1 / 12)
    assert row["low"] <= row["gain"] <= row["high"]
    assert row["continuation"] >= 0.8  # another clip may begin where this one goes on
    assert row["order"] == 1.0
    nothing = evaluate(held_out(), ignorance, truth, ignorance).set_index("language").loc["all"]
    assert nothing["continuation"] == nothing["order"] == 0.5  # nothing is more likely than anything
    assert nothing["gain"] < 0


def test_short_clips_and_lonely_languages_are_not_judged():
    some = HeldOut(
        sequences=[counting(3, 0), counting(12, 0), np.zeros(0, dtype=np.int64)],
        languages=["de", "en", "de"],
        speakers=["a", "b", "c"],
    )
    table = evaluate(some, truth, ignorance, ignorance).set_index("language")
    assert table.loc["all", "clips"] == 2
    assert np.isnan(table.loc["de", "order"])
    assert np.isnan(table.loc["en", "continuation"])
    assert table.loc["en", "order"] == 1.0
