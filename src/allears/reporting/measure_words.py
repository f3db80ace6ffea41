"""How a measure is called and written: on an axis, in a table of quantiles, and where its value stands alone."""

from __future__ import annotations

import math

from allears.audio.measures import CEILING_DB
from allears.reporting.html import Kind, written

_WORDS: dict[str, tuple[str, Kind, str]] = {  # name, how it is written, unit
    "rms_dbfs": ("level (RMS)", "measure", "dBFS"),
    "snr_db": ("signal-to-noise (WADA)", "measure", "dB"),
    "bandwidth_hz": ("bandwidth", "measure", "Hz"),
    "bandwidth_share": ("bandwidth, of what the sample rate promises", "percent", ""),
    "decoded_duration_s": ("duration", "measure", "s"),
    "silence_share": ("silent frames", "percent", ""),
    "clipped_share": ("clipped samples", "percent", ""),
    "dc_offset": ("offset (DC)", "measure", ""),
    "rumble_db": ("rumble (under 50 Hz) against the rest", "measure", "dB"),
    "zero_share": ("digital silence", "percent", ""),
    "duration_difference_s": ("decoded and declared duration differ by", "measure", "s"),
    "hum_db": ("mains hum over its surroundings", "measure", "dB"),
    "speech_share": ("speech", "percent", ""),
    "pause_snr_db": ("speech against pauses", "measure", "dB"),
    "mix_loss_db": ("level lost by mixing the channels", "measure", "dB"),
    "weakest_channel_db": ("weakest against strongest channel", "measure", "dB"),
    "side_db": ("side against mid channel", "measure", "dB"),
    "letters_per_s": ("letters a second", "measure", ""),
    "chars_per_s": ("characters a second", "measure", ""),
    "script_share": ("letters in a script of the language", "percent", ""),
    "unique_word_share": ("unique words", "percent", ""),
    "longest_word": ("longest word", "measure", "letters"),
    "text_ctc": ("text against audio", "measure", "nats a character"),
    "text_error": ("characters that a model hears otherwise", "percent", ""),
    "correlation": ("correlation of the waveforms", "measure", ""),
}
_CEILINGS = {"snr_db": CEILING_DB}  # estimates that end there: the truth may be anything above
MEASURES = tuple(name for name in _WORDS if name != "correlation")  # of a clip, not of a pair


def name(measure: str) -> str:
    """The measure's name in words; one that is not known here, as it is called in the table."""
    return _WORDS[measure][0] if measure in _WORDS else measure


def title(measure: str) -> str:
    """Name and unit of bare numbers: `bandwidth, Hz`, `silent frames, share`."""
    _, kind, unit = _WORDS.get(measure, ("", "measure", ""))
    unit = "share" if kind == "percent" else unit
    unit += f" ({_CEILINGS[measure]:g}: at its ceiling)" if measure in _CEILINGS else ""
    return f"{name(measure)}, {unit}" if unit else name(measure)


def is_share(measure: str) -> bool:
    """Whether it is a share, written in per cent."""
    return measure in _WORDS and _WORDS[measure][1] == "percent"


def quantity(measure: str, value: float) -> str:
    """The value with its unit, or that the estimate is at its ceiling."""
    _, kind, unit = _WORDS.get(measure, ("", "measure", ""))
    if value >= _CEILINGS.get(measure, math.inf):
        return f"at its ceiling (≥ {_CEILINGS[measure]:g} {unit})"
    return f"{written(value, kind)} {unit}".rstrip()
