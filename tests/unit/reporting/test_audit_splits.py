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


def test_without_texts_and_held_out_clips_there_is_little_to_compare() -> None:
    summary = audited(clips(3, "train", text=None)).summary()
    assert "also in train" not in str(audit_splits.parts(summary))
    assert audit_splits.differences(summary) is None
