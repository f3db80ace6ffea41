from pathlib import Path

from allears.storage.receipt import read_receipt, write_receipt


def test_a_receipt_counts_for_its_own_identity_only(tmp_path: Path):
    assert read_receipt(tmp_path, "a") is None
    write_receipt(tmp_path, "a", {"clips": 3})
    assert read_receipt(tmp_path, "a") == {"clips": 3}
    assert read_receipt(tmp_path, "b") is None


def test_what_a_kill_left_of_a_receipt_goes_with_the_next_one(tmp_path: Path):
    (tmp_path / ".receipt.json.0a1b2c3d.tmp").write_text("half")
    (tmp_path / ".table.0a1b2c3d.tmp").write_text("somebody else's, who may be at it")
    write_receipt(tmp_path, "new", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".table.0a1b2c3d.tmp", "receipt.json"]
