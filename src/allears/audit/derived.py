"""What follows from measures and from what the corpus and its headers declare: nothing is decoded for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit.measures import names_of
from allears.corpus.segment import OF_WHOLE

DERIVED = names_of("derived")
MANIFEST_COLUMNS = ("clip", "start_s", "end_s", "sample_rate_hz", "text", "language", "speaker", "attributes")
# Share of a clip that is heard as speech: more of it than of anything else.
SPEECH_FROM = 0.5
REFERENCE_RATE_HZ = 16_000.0  # beyond this sample rate nothing more is promised: speech has little there
NOISE_NEEDS_S = 1.0  # of speech; words of 0.45 s have a median of 5 dB where their sentences are at the ceiling of 34
_OF_WHOLE = rf'"(?:text|speaker){OF_WHOLE}": '  # a name in the JSON object: quotes within a text are escaped


def with_derived(measures: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """`measures` with the columns DERIVED, NaN where what they follow from is. `manifest` needs MANIFEST_COLUMNS.

    bandwidth_share: of half the sample rate (the lower of the header's and the decoder's: Opus decodes at 48 kHz
    whatever went in), or of REFERENCE_RATE_HZ / 2 where that is less; at most 1.
    duration_difference_s: decoded against declared, without sign.
    is_speech (never null): a text, language or speaker is known of the clip, or was of the recording before pieces or
    channels were cut from it; or it is heard: the detector hears speech in SPEECH_FROM of it or more.
    """
    table = measures[["clip"]].merge(manifest[list(MANIFEST_COLUMNS)], on="clip", how="left", validate="1:1")
    rate_hz = np.minimum(table["sample_rate_hz"].to_numpy(dtype=np.float64), measures["decoded_rate_hz"].to_numpy())
    promised_hz = np.minimum(rate_hz, REFERENCE_RATE_HZ) / 2
    declared_s = (table["end_s"] - table["start_s"]).to_numpy()
    return measures.assign(
        bandwidth_share=np.minimum(measures["bandwidth_hz"].to_numpy() / promised_hz, 1.0),
        duration_difference_s=np.abs(measures["decoded_duration_s"].to_numpy() - declared_s),
        is_speech=_declared(table) | (measures["speech_share"].to_numpy() >= SPEECH_FROM),
    )


def tells_noise(measures: pd.DataFrame) -> NDArray[np.bool_]:
    """True for clips whose estimate of noise means something: speech of NOISE_NEEDS_S or more.

    `measures` are those with the columns of `with_derived`.
    """
    speech = measures["is_speech"].to_numpy(dtype=bool)
    found: NDArray[np.bool_] = speech & (measures["decoded_duration_s"] >= NOISE_NEEDS_S).to_numpy(dtype=bool)
    return found


def _declared(manifest: pd.DataFrame) -> NDArray[np.bool_]:
    known = manifest[["text", "language", "speaker"]].notna().any(axis=1)
    of_whole = manifest["attributes"].str.contains(_OF_WHOLE, regex=True).eq(True)  # null is not True
    return (known | of_whole).to_numpy(dtype=bool, na_value=False)
