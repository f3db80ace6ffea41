"""Findings about the recording chain: offset, rumble, and two estimates of noise that do not agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from allears.audio.measures import CEILING_DB
from allears.audit.derived import tells_noise

RUMBLE_FROM_DB = -10.0  # a tenth of the power of all that is heard
DISAGREE_DB = 10.0  # in white noise at known ratios from 5 to 60 dB at most 3 % are further apart (tests/benchmark)
SOME, MANY = 0.03, 0.2  # of the clips: a note above SOME (what DISAGREE_DB lets pass), a warning from MANY on


def signal_facts(measures: pd.DataFrame, silence_dbfs: float) -> dict[str, Any]:
    """Return how many clips have an offset, rumble or contradicting estimates of noise, and how much.

    `measures` are those with `derived` columns. An offset counts from the level on at which it would make digital
    silence as loud as `silence_dbfs`; rumble and noise count for speech only: in the sound of a sea they are content.
    """
    speech = measures[measures["is_speech"].to_numpy(dtype=bool)]
    offset = measures["dc_offset"][measures["dc_offset"].abs() >= 10 ** (silence_dbfs / 20)]
    rumble = speech["rumble_db"][speech["rumble_db"] >= RUMBLE_FROM_DB]
    judged = measures[tells_noise(measures) & measures["snr_db"].notna() & measures["pause_snr_db"].notna()]
    apart = judged["snr_db"] - np.minimum(judged["pause_snr_db"], CEILING_DB)
    return {
        "clips": int(measures["decoded_duration_s"].notna().sum()),
        "speech": len(speech),
        "offset": _counted(offset),
        "rumble": _counted(rumble),
        "noise": {
            "clips": len(judged),
            "wada_higher": int((apart > DISAGREE_DB).sum()),
            "wada_lower": int((apart < -DISAGREE_DB).sum()),
        },
    }


def about_signal(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the findings: level and text."""
    if facts:
        yield from _about_offset(facts["offset"], facts["clips"])
        yield from _about_rumble(facts["rumble"], facts["speech"])
        yield from _about_noise(facts["noise"])


def _about_offset(offset: Mapping[str, Any], clips: int) -> Iterator[tuple[str, str]]:
    if level := _level(offset["clips"], clips):
        text = (
            f"{_share(offset['clips'], clips)} of the clips have a constant offset (median {offset['median']:+.3f} of "
        )
        text += (
            "full scale): the recording chain adds it. The measures leave it out, and so do log-mel features, which "
        )
        yield level, text + "subtract the mean of each window; the shards keep the samples as they are."


def _about_rumble(rumble: Mapping[str, Any], speech: int) -> Iterator[tuple[str, str]]:
    if level := _level(rumble["clips"], speech):
        text = f"{_share(rumble['clips'], speech)} of the clips of speech have rumble, from wind, handling or the "
        text += "recording chain: a tenth of the power of the rest or more lies under 50 Hz (median "
        text += f"{rumble['median']:+.0f} dB). The measures leave it out; log-mel features begin at 20 Hz and do not."
        yield level, text


def _about_noise(noise: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    higher, lower = noise["wada_higher"], noise["wada_lower"]
    if level := _level(higher + lower, noise["clips"]):
        text = f"The two estimates of noise disagree by more than {DISAGREE_DB:g} dB for {higher + lower:,} of "
        text += f"{noise['clips']:,} clips of speech: WADA finds less noise than the pauses hold in {higher:,} (noise "
        text += (
            f"that comes and goes, music, other voices), more in {lower:,} (noise while somebody speaks, a noise gate)."
        )
        yield level, text + " Listen to some before a rule over either decides."


def _counted(values: pd.Series[float]) -> dict[str, float | int]:
    return {"clips": len(values), "median": float(values.median()) if len(values) else 0.0}


def _level(clips: int, of: int) -> str:
    if clips <= SOME * of:
        return ""
    return "warn" if clips >= MANY * of else "note"


def _share(clips: int, of: int) -> str:
    return f"{clips / of:.0%} ({clips:,})"
