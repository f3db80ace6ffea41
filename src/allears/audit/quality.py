"""Quality flags from measures: each a pure comparison with a cut-off of the policy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from allears.params.audit import QualityParams


def flags(table: pd.DataFrame, params: QualityParams) -> dict[str, pd.Series[bool]]:
    """Reason → which clips. `table` is the manifest joined with the measures; a clip without a measure has no flag.

    Noise and bandwidth are judged of speech (a text, language or speaker is known): rain is all noise, a hum has none.
    """
    decoded = table["decoded_duration_s"]
    declared = table["end_s"] - table["start_s"]
    rates = np.minimum(table["sample_rate_hz"].to_numpy(dtype=np.float64), table["decoded_rate_hz"].to_numpy())
    promised_hz = np.minimum(rates, params.bandwidth_reference_hz)
    speech = table[["text", "language", "speaker"]].notna().any(axis=1)
    max_silence = np.where(speech, params.max_silence_share, params.max_silence_share_of_sounds)
    return {
        "noisy": _is_judged_for_noise(table, speech, params) & (table["snr_db"] < params.min_snr_db),
        "clipped": table["clipped_share"] > params.max_clipped_share,
        "silent": table["silence_share"] > max_silence,
        "upsampled": speech & (table["bandwidth_hz"] < params.min_bandwidth_share * promised_hz / 2),
        "truncated": (decoded - declared).abs() > params.max_duration_difference_s,
        "too_short": decoded < params.min_duration_s,
        "too_long": decoded > params.max_duration_s,
    }


def _is_judged_for_noise(table: pd.DataFrame, speech: pd.Series[bool], params: QualityParams) -> pd.Series[bool]:
    long_enough = table["decoded_duration_s"] >= params.snr_needs_s
    match params.snr_of:
        case "all":
            return long_enough
        case "none":
            return long_enough & False
        case "speech":
            return long_enough & speech
