from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from allears.audit.derived import DERIVED, with_derived
from tests.audit_tables import manifest, measures


@pytest.mark.parametrize(
    ("declared_hz", "decoded_hz", "bandwidth_hz", "expected"),
    [
        (16_000, 16_000, 4_000.0, 0.5),
        (8_000, 8_000, 4_000.0, 1.0),
        (44_100, 44_100, 4_000.0, 0.5),  # beyond 8 kHz nothing more is promised
        (44_100, 44_100, 20_000.0, 1.0),
        (8_000, 48_000, 3_000.0, 0.75),  # Opus decodes at 48 kHz whatever went in
        (16_000, 16_000, None, np.nan),
    ],
)
def test_bandwidth_share(declared_hz: int, decoded_hz: int, bandwidth_hz: float | None, expected: float) -> None:
    table = manifest([{"sample_rate_hz": declared_hz}])
    found = measures(table, [{"decoded_rate_hz": float(decoded_hz), "bandwidth_hz": bandwidth_hz}])
    np.testing.assert_equal(found["bandwidth_share"].iloc[0], expected)


def test_it_follows_the_clip_and_not_the_place_in_the_table() -> None:
    table = manifest([{"end_s": 2.0}, {"end_s": 5.0, "start_s": 1.0}])
    found = measures(table, [{"decoded_duration_s": 2.5}, {"decoded_duration_s": 3.0}])
    shuffled = with_derived(found.drop(columns=[*DERIVED, "is_speech"]), table.iloc[::-1])
    assert shuffled[list(found)].equals(found)
    assert found["duration_difference_s"].tolist() == [0.5, 1.0]


NOTHING = {"text": None, "language": None, "speaker": None, "group": "g"}


@pytest.mark.parametrize(
    ("row", "speech_share", "expected"),
    [
        (NOTHING, 0.49, False),
        (NOTHING, 0.5, True),
        (NOTHING, None, False),
        (NOTHING | {"label": "rain"}, 0.1, False),
        (NOTHING | {"text": "rain"}, 0.0, True),
        (NOTHING | {"language": "en"}, None, True),
        (NOTHING | {"speaker": "ann"}, 0.0, True),
        (NOTHING | {"attributes": json.dumps({"device": "phone", "text_of_whole": "good day"})}, 0.0, True),
        (NOTHING | {"attributes": json.dumps({"speaker_of_whole": "ann"})}, 0.0, True),
        (NOTHING | {"attributes": json.dumps({"age_of_whole": "30", "device": '"text_of_whole": "x"'})}, 0.0, False),
    ],
)
def test_speech_is_what_is_declared_or_heard(row: dict[str, Any], speech_share: float | None, expected: bool) -> None:
    assert bool(measures(manifest([row]), [{"speech_share": speech_share}])["is_speech"].iloc[0]) is expected
