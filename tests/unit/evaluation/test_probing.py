import pandas as pd

from allears.evaluation.probing import COLUMNS, summarise


def _rows(arm: str, layer: int, wrong: int, dev_errors: int) -> list[dict[str, object]]:
    return [
        {"arm": arm, "draw": draw, "layer": layer, "target": "label", "share": 0.1, "clip": f"c{i}"}
        | {"group": f"s{i % 5}", "reference": "a", "prediction": "a", "errors": int(i < wrong), "total": 1}
        | {"dev_errors": dev_errors, "dev_total": 20}
        for draw in range(3)
        for i in range(20)
    ]


def _scores() -> pd.DataFrame:
    return pd.DataFrame(
        # On test speakers layer 0 is the best of both arms; dev speakers say layer 1 for pretrained, 2 for random.
        [
            *_rows("pretrained", 0, 2, 9), *_rows("pretrained", 1, 6, 4), *_rows("pretrained", 2, 8, 5),
            *_rows("random", 0, 4, 9), *_rows("random", 1, 12, 8), *_rows("random", 2, 10, 7),
        ]
    )  # fmt: skip


def test_dev_speakers_choose_the_layer_of_each_arm():
    table = summarise(_scores())
    chosen = table[table["chosen"]].iloc[0]
    assert (chosen["layer"], chosen["baseline_layer"]) == (1, 2)
    assert (chosen["pretrained_error"], chosen["baseline_error"]) == (0.3, 0.5)
    assert chosen["low"] <= chosen["gain"] == 0.2 <= chosen["high"]


def test_every_layer_is_listed_beside_the_chosen_one():
    table = summarise(_scores())
    layers = table[~table["chosen"]].set_index("layer")
    assert list(layers.index) == [0, 1, 2]
    assert list(layers["baseline_error"]) == [0.2, 0.6, 0.5]
    assert set(table["repetitions"]) == {3}


def test_nothing_probed_is_an_empty_table():
    empty = summarise(_scores().iloc[:0])
    assert list(empty.columns) == COLUMNS
    assert empty.empty
