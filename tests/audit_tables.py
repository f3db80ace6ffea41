"""Small manifests and measures for the tests of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from allears.audit.derived import with_derived
from allears.audit.measuring import COLUMNS as MEASURE_COLUMNS
from allears.audit.measuring import NUMBERS, TEXTS
from allears.audit.texts import FIT_TYPES, text_measures
from allears.corpus.manifest import COLUMNS
from allears.corpus.schema import SCHEMA
from allears.params.policy import Policies

POLICIES = Policies.model_validate(
    yaml.safe_load((Path(__file__).parents[1] / "conf/base/parameters_policies.yml").read_text())["policies"]
)
STANDARD = POLICIES.chosen("standard")
_CLIP: dict[str, Any] = {
    "source": "s", "root": "/r", "member": None, "channel": None, "start_s": 0.0, "end_s": 2.0, "file_bytes": 1,
    "codec": "wav",
    "sample_rate_hz": 16_000, "channels": 1, "file_duration_s": 2.0, "text": "hello", "label": None, "language": "en",
    "accent": None, "gender": None, "age": None, "session": None, "attributes": None, "licence": "CC0-1.0",
    "split": "train", "split_origin": "given",
}  # fmt: skip
_MEASURE: dict[str, Any] = {
    "decoded_duration_s": 2.0, "peak": 0.5, "rms_dbfs": -25.0, "clipped_share": 0.0, "dc_offset": 0.0,
    "rumble_db": -40.0, "silence_share": 0.2, "zero_share": 0.0, "snr_db": 30.0, "bandwidth_hz": 7_500.0,
    "decoded_rate_hz": 16_000.0, "side_db": None, "mix_loss_db": None, "weakest_channel_db": None, "hum_db": 2.0,
    "hum_hz": 50.0, "speech_share": 0.4, "pause_snr_db": 30.0, "text_error": None, "text_ctc": None,
    "text_judged": None, "fingerprint": None, "failed_reason": None, "failed_message": None,
}  # fmt: skip


def manifest(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A valid manifest: each row a clip with what matters to the test, the rest filled in."""
    full = []
    for number, row in enumerate(rows):
        clip = _CLIP | {"clip": f"c{number}", "path": f"{number}.wav", "file_sha256": f"{number:064d}"}
        clip |= {"speaker": f"p{number}"} | row
        full.append(clip | {"group": row.get("group") or f"s/speaker/{clip['speaker']}"})
    table: pd.DataFrame = SCHEMA.validate(pd.DataFrame(full)[list(COLUMNS)])
    return table


def measures(table: pd.DataFrame, rows: list[dict[str, Any]] | None = None) -> pd.DataFrame:
    """Measures of a manifest's clips, derived ones too: faultless but for what `rows` says."""
    rows = rows or [{}] * len(table)
    full = [
        _MEASURE | {"clip": clip, "pcm_sha256": f"pcm{clip}"} | row
        for clip, row in zip(table["clip"], rows, strict=True)
    ]
    types = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(("clip", *TEXTS), "string")
    heard = pd.DataFrame(full).reindex(columns=list(MEASURE_COLUMNS)).astype(types)
    fit = pd.DataFrame(full)[list(FIT_TYPES)].astype(FIT_TYPES)
    heard = with_derived(heard, table).merge(text_measures(table), on="clip", validate="1:1")
    return heard.merge(fit, on="clip", validate="1:1")


def agree(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Of candidates for copies, all waveforms are the same."""
    return np.ones(len(pairs))
