from pathlib import Path

from allears.datasets import OptionalHandleDataset


def test_a_handle_comes_back_and_a_missing_one_is_empty(tmp_path: Path):
    dataset = OptionalHandleDataset(filepath=str(tmp_path / "encoder.json"))
    assert not dataset.exists()
    assert dataset.load() == {}
    dataset.save({"folder": "x"})
    assert dataset.exists()
    assert dataset.load() == {"folder": "x"}
