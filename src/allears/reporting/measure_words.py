"""How a measure is called and written where its value stands alone."""

from __future__ import annotations

from allears.reporting.html import Kind, written

_WORDS: dict[str, tuple[str, Kind, str]] = {
    "snr_db": ("signal-to-noise", "measure", " dB"),
    "clipped_share": ("clipped samples", "percent", ""),
    "silence_share": ("silent frames", "percent", ""),
    "bandwidth_hz": ("bandwidth", "measure", " Hz"),
    "bandwidth_share": ("bandwidth, of what the sample rate promises", "percent", ""),
    "duration_difference_s": ("decoded and declared length differ by", "measure", " s"),
    "decoded_duration_s": ("length", "measure", " s"),
    "bit_error": ("fingerprint bits that differ", "percent", ""),
}


def name(measure: str) -> str:
    """The measure's name in words; one that is not known here, as it is called in the table."""
    return _WORDS[measure][0] if measure in _WORDS else measure


def quantity(measure: str, value: float) -> str:
    """The value with its unit."""
    _, kind, unit = _WORDS.get(measure, ("", "measure", ""))
    return written(value, kind) + unit
