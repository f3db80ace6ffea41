from pathlib import Path

from allears.storage.receipt import read_receipt, write_receipt


def test_a_receipt_counts_for_its_own_identity_only(tmp_path: Path):
    assert read_receipt(tmp_path, "a") is None
    write_receipt(tmp_path, "a", {"clips": 3})
    assert read_receipt(tmp_path, "a") == {"clips": 3}
    assert read_receipt(tmp_path, "b") is None
