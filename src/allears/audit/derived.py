"""Measures that follow from others and from what the header declares: nothing is decoded for them."""

from __future__ import annotations

import numpy as np
import pandas as pd

DERIVED = ("bandwidth_share", "duration_difference_s")
MANIFEST_COLUMNS = ("clip", "start_s", "end_s", "sample_rate_hz")
REFERENCE_RATE_HZ = 16_000.0  # beyond this sample rate nothing more is promised: speech has little there


def with_derived(measures: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """`measures` with the columns DERIVED, NaN where what they follow from is. `manifest` needs MANIFEST_COLUMNS.

    bandwidth_share: of half the sample rate (the lower of the header's and the decoder's: Opus decodes at 48 kHz
    whatever went in), or of REFERENCE_RATE_HZ / 2 where that is less; at most 1.
    duration_difference_s: decoded against declared, without sign.
    """
    table = measures[["clip"]].merge(manifest[list(MANIFEST_COLUMNS)], on="clip", how="left")
    rate_hz = np.minimum(table["sample_rate_hz"].to_numpy(dtype=np.float64), measures["decoded_rate_hz"].to_numpy())
    promised_hz = np.minimum(rate_hz, REFERENCE_RATE_HZ) / 2
    declared_s = (table["end_s"] - table["start_s"]).to_numpy()
    return measures.assign(
        bandwidth_share=np.minimum(measures["bandwidth_hz"].to_numpy() / promised_hz, 1.0),
        duration_difference_s=np.abs(measures["decoded_duration_s"].to_numpy() - declared_s),
    )
