"""The policy's cut-offs with every clip's own value beside them: who is flagged, and by how much.

Legend: `N` clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.params.audit import QualityParams


@dataclass(frozen=True, slots=True)
class CutOff:
    """One reason's measure, its value and its cut-off for each clip; NaN where the rule does not judge the clip."""

    reason: str
    measure: str
    value_N: NDArray[np.float64]
    cut_N: NDArray[np.float64]
    flags_above: bool = False

    def flagged(self) -> NDArray[np.bool_]:
        """Which clips are beyond the cut-off."""
        return self.value_N > self.cut_N if self.flags_above else self.value_N < self.cut_N

    def excess(self) -> NDArray[np.float64]:
        """How far beyond, as a share of the cut-off: positive when flagged, NaN when not judged or not measured."""
        beyond_N = self.value_N - self.cut_N if self.flags_above else self.cut_N - self.value_N
        return beyond_N / np.where(self.cut_N == 0, 1.0, np.abs(self.cut_N))


def cut_offs(table: pd.DataFrame, params: QualityParams) -> list[CutOff]:
    """All cut-offs on measures. `table` is the manifest joined with the measures.

    Noise and bandwidth are judged of speech (a text, language or speaker is known): rain is all noise, a hum has none.
    """
    speech_N = table[["text", "language", "speaker"]].notna().any(axis=1).to_numpy(dtype=bool)
    decoded_N = _numbers(table, "decoded_duration_s")
    declared_N = _numbers(table, "end_s") - _numbers(table, "start_s")
    rate_N = np.minimum(_numbers(table, "sample_rate_hz"), _numbers(table, "decoded_rate_hz"))
    promised_N = np.minimum(rate_N, params.bandwidth_reference_hz) / 2
    noise_N = {"speech": speech_N, "all": np.ones_like(speech_N), "none": np.zeros_like(speech_N)}[params.snr_of]
    noise_N = noise_N & (decoded_N >= params.snr_needs_s)
    silence_N = np.where(speech_N, params.max_silence_share, params.max_silence_share_of_sounds)
    bandwidth_N = np.where(speech_N, params.min_bandwidth_share * promised_N, np.nan)

    def everywhere(cut: float) -> NDArray[np.float64]:
        return np.full(len(table), cut)

    return [
        CutOff("noisy", "snr_db", _numbers(table, "snr_db"), np.where(noise_N, params.min_snr_db, np.nan)),
        CutOff(
            "clipped", "clipped_share", _numbers(table, "clipped_share"), everywhere(params.max_clipped_share),
            flags_above=True,
        ),
        CutOff("silent", "silence_share", _numbers(table, "silence_share"), silence_N, flags_above=True),
        CutOff("upsampled", "bandwidth_hz", _numbers(table, "bandwidth_hz"), bandwidth_N),
        CutOff(
            "truncated", "duration_difference_s", np.abs(decoded_N - declared_N),
            everywhere(params.max_duration_difference_s), flags_above=True,
        ),
        CutOff("too_short", "decoded_duration_s", decoded_N, everywhere(params.min_duration_s)),
        CutOff("too_long", "decoded_duration_s", decoded_N, everywhere(params.max_duration_s), flags_above=True),
    ]  # fmt: skip


def _numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return table[name].to_numpy(dtype=np.float64)
