from __future__ import annotations

from typing import Any

import pytest

from allears.audit.signal_findings import about_signal, signal_facts
from tests.audit_tables import manifest, measures

SOUND = {"text": None, "language": None, "speaker": None, "group": "s/recording/x"}


def found(values: list[dict[str, Any]], rows: list[dict[str, Any]] | None = None) -> list[tuple[str, str]]:
    table = manifest(rows or [{}] * len(values))
    return list(about_signal(signal_facts(measures(table, values), silence_dbfs=-50.0)))


def test_a_corpus_without_any_of_it_has_no_finding() -> None:
    assert found([{}] * 10) == []
    assert found([{"dc_offset": 0.003}] * 10) == []


def test_an_offset_of_most_clips_is_a_warning_of_a_few_a_note() -> None:
    [(level, text)] = found([{"dc_offset": -0.085}] * 8 + [{}] * 2)
    assert level == "warn"
    assert text.startswith("80% (8) of the clips have a constant offset (median -0.085 of full scale)")
    assert [level for level, _ in found([{"dc_offset": 0.01}] + [{}] * 9)] == ["note"]
    assert found([{"dc_offset": 0.01}] + [{}] * 199) == []


def test_rumble_is_one_of_speech_only() -> None:
    [(level, text)] = found([{"rumble_db": -9.0}, {"rumble_db": 5.0}, {}])
    assert level == "warn"
    assert "67% (2) of the clips of speech have rumble" in text
    assert "median -2 dB" in text
    assert found([{"rumble_db": 5.0}] * 3, [SOUND] * 3) == []


@pytest.mark.parametrize(
    ("wada", "pauses", "apart"),
    [
        (30.0, 15.0, True),
        (15.0, 30.0, True),
        (34.0, 60.0, False),
        (34.0, 20.0, True),
        (20.0, 29.0, False),
        (20.0, None, False),
    ],
)
def test_estimates_of_noise_disagree_beyond_their_errors(wada: float, pauses: float | None, apart: bool) -> None:
    texts = [text for _, text in found([{"snr_db": wada, "pause_snr_db": pauses}] * 5)]
    assert bool(texts) == apart
    if apart:
        assert "disagree by more than 10 dB for 5 of 5 clips" in texts[0]
        assert ("less noise than the pauses hold in 5" in texts[0]) == (wada > (pauses or 0))
