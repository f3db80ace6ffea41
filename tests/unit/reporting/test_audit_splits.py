from __future__ import annotations

from typing import Any

from allears.reporting import audit_splits
from tests.audit_people import audited

HOSTILE = "<script>alert(1)</script>"


def clips(count: int, split: str, **known: Any) -> list[dict[str, Any]]:
    return [{"split": split, "speaker": f"{split}{i % 12}", "text": f"{split} {i}"} | known for i in range(count)]


def test_splits_and_sources_are_rows_and_names_cannot_run() -> None:
    rows = [*clips(30, "train", source="a"), *clips(20, "dev", source=HOSTILE, language="sw", sample_rate_hz=8_000)]
    summary = audited(rows, [{"rms_dbfs": -20.0}] * 30 + [{"rms_dbfs": -40.0}] * 20).summary()
    parts, differences = str(audit_splits.parts(summary)), str(audit_splits.differences(summary))
    assert parts.count("<tr>") == 1 + 3 + 2 + 2
    for words in ("8 kHz", "-40.0 (-40 to -40)", "also in train", "&lt;script&gt;"):
        assert words in parts
    for words in ("nothing in common", "-20.0 dB", "apart"):
        assert words in differences
    assert HOSTILE not in parts + differences


def test_noise_at_the_ceiling_of_its_estimate_is_compared_as_a_bound() -> None:
    rows = [*clips(30, "train"), *clips(20, "dev"), *clips(20, "test")]
    values = [{"snr_db": 20.0}] * 30 + [{"snr_db": 34.0}] * 20 + [{"snr_db": 24.5}] * 20
    summary = audited(rows, values).summary()
    parts, differences = str(audit_splits.parts(summary)), str(audit_splits.differences(summary))
    assert "≥ 34 (≥ 34 to ≥ 34)" in parts
    for words in ("≥ 34 dB", "at least 14.0 dB more", "+4.5 dB", "-25.0 dBFS"):
        assert words in differences
    texts = [finding["text"] for finding in summary["findings"]]
    assert any("Dev is not like train: SNR at least 14.0 dB higher" in text for text in texts)
    assert any("Test is not like train: SNR 4.5 dB higher" in text for text in texts)
    for side in summary["comparison"]["differences"]:
        assert side["at_least"] == (side["part"] == "dev" and side["measure"] == "snr_db")


def test_noise_is_not_compared_by_clips_that_give_no_estimate_of_it() -> None:
    sounds = {"text": None, "speaker": None, "language": None}
    for other, length in (({}, 0.9), (sounds, 2.0)):
        rows = [*clips(30, "train"), *[row | other for row in clips(20, "dev")]]
        values = [{"snr_db": 34.0}] * 30 + [{"snr_db": 5.0, "decoded_duration_s": length}] * 20
        compared = audited(rows, values).summary()["comparison"]
        assert "snr_db" not in [row["measure"] for row in compared["differences"]]
        assert [row["snr_db_median"] for row in compared["parts"]][:2] == [34.0, None]


def test_what_a_table_leaves_out_is_counted() -> None:
    few = audited(clips(3, "train")).summary()
    assert audit_splits.context(few)["split_parts_line"] == ""
    many = audited([row | {"source": f"s{i}"} for i, row in enumerate(clips(30, "train"))]).summary()
    assert audit_splits.context(many)["split_parts_line"] == (
        "The first 40 of 63 rows; all are in split_comparison.parquet."
    )


def test_without_texts_and_held_out_clips_there_is_little_to_compare() -> None:
    summary = audited(clips(3, "train", text=None)).summary()
    assert "also in train" not in str(audit_splits.parts(summary))
    assert audit_splits.differences(summary) is None
