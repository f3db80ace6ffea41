"""Every number that the audit knows of a clip, in one list: columns, words of the pages, and what rules may look at."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from allears.audio.measures import CEILING_DB, ROOM_DBFS, STEADY_DB
from allears.audio.speech import PAUSE_SHARE

Origin = Literal["audio", "derived", "text", "text model", "header", "pair"]
SHARE = "share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of a clip; null where the clip gives none.

    `origin`: audio (by `audit.clip`), derived, text, text model, header, or a pair of clips (no column of the table).
    `fact`: a count or length of samples, channels or texts, or what mixing loses: as true and as harmful for all clips
    as for one. Other measures are estimates: a rule over one may describe the corpus (`audit.suspect`).
    `words`: name on the pages; empty: `name`. `short`: heading of a narrow column, where the pages need one. `unit`:
    a SHARE is written in per cent. `row`: place in the page's table of quantiles; None: not in it. `ceiling`: highest
    value of an estimate; the truth may be anything above. `definition`: for the page's table of rules, with fields of
    `MeasureParams` in braces.
    """

    name: str
    origin: Origin
    fact: bool
    unit: str = ""
    words: str = ""
    short: str = ""
    row: int | None = None
    ceiling: float | None = None
    definition: str = ""


MEASURES = (  # in the order of the table's columns
    Measure(name="decoded_duration_s", origin="audio", fact=True, unit="s", words="duration", short="length", row=5),
    Measure(name="peak", origin="audio", fact=True),
    Measure(name="rms_dbfs", origin="audio", fact=False, unit="dBFS", words="level (RMS)", short="level", row=1),
    Measure(
        name="clipped_share", origin="audio", fact=True, unit=SHARE, words="clipped samples", short="clipped", row=7,
        definition="samples at {clip_level:g} or more",
    ),
    Measure(
        name="dc_offset", origin="audio", fact=False, words="offset (DC)", short="offset", row=8,
        definition="mean of the samples that are no digital silence, full scale is 1",
    ),
    Measure(
        name="rumble_db", origin="audio", fact=False, unit="dB", words="rumble (under 50 Hz) against the rest", row=9,
        definition="power under 50 Hz, without the offset, over the power of the rest",
    ),
    Measure(
        name="silence_share", origin="audio", fact=False, unit=SHARE, words="silent frames", short="silent", row=6,
        definition="32 ms frames under {silence_dbfs:g} dBFS, and {silence_below_loud_db:g} dB under the loudest tenth "
        f"or under {ROOM_DBFS:g} dBFS; where nobody speaks (the loudest tenth is under the level and within "
        f"{STEADY_DB:g} dB of the softest quarter) all under the level",
    ),
    Measure(
        name="zero_share", origin="audio", fact=True, unit=SHARE, words="digital silence", row=10,
        definition="samples that are exactly zero",
    ),
    Measure(
        name="snr_db", origin="audio", fact=False, unit="dB", words="signal-to-noise (WADA)", short="SNR", row=2,
        ceiling=CEILING_DB,
        definition=f"Kim & Stern 2008, without digital silence; {CEILING_DB:g} dB is its ceiling",
    ),
    Measure(name="bandwidth_hz", origin="audio", fact=False, unit="Hz", words="bandwidth", short="bandwidth", row=3),
    Measure(name="side_db", origin="audio", fact=True, unit="dB", words="side against mid channel", row=17),
    Measure(
        name="mix_loss_db", origin="audio", fact=True, unit="dB", words="level lost by mixing the channels", row=15,
        definition="level of the channels over that of their mean",
    ),
    Measure(
        name="weakest_channel_db", origin="audio", fact=True, unit="dB", words="weakest against strongest channel",
        row=16,
    ),
    Measure(
        name="hum_db", origin="audio", fact=False, unit="dB", words="mains hum over its surroundings", row=12,
        definition="the second strongest of the lines at 50 or 60 Hz and their harmonics, over their surroundings",
    ),
    Measure(name="hum_hz", origin="audio", fact=False),
    Measure(
        name="speech_share", origin="audio", fact=False, unit=SHARE, words="speech", row=13,
        definition="Silero's voice activity detector, chunks of 32 ms at {speech_probability:g} or more",
    ),
    Measure(
        name="pause_snr_db", origin="audio", fact=False, unit="dB", words="speech against pauses", row=14,
        definition="mean power of chunks with speech, less that of the pauses, over the "
        f"{PAUSE_SHARE:.0%} quantile of the power of the pauses",
    ),
    Measure(name="decoded_rate_hz", origin="audio", fact=True),
    Measure(
        name="bandwidth_share", origin="derived", fact=False, unit=SHARE, row=4,
        words="bandwidth, of what the sample rate promises",
        definition="the mean spectrum's last bin within {bandwidth_drop_db:g} dB of its peak, over half the "
        "sample rate or 8 kHz, whichever is less",
    ),
    Measure(
        name="duration_difference_s", origin="derived", fact=True, unit="s", row=11,
        words="decoded and declared duration differ by",
        definition="of what the header declares and what it decodes to",
    ),
    Measure(
        name="chars_per_s", origin="text", fact=False, words="characters a second", row=19,
        definition="letters, marks and digits over the declared duration",
    ),
    Measure(
        name="letters_per_s", origin="text", fact=False, words="letters a second", row=18,
        definition="of scripts that spell sounds, over the declared duration",
    ),
    Measure(
        name="script_share", origin="text", fact=False, unit=SHARE, words="letters in a script of the language", row=20,
    ),
    Measure(
        name="unique_word_share", origin="text", fact=False, unit=SHARE, words="unique words", row=21,
        definition="the lowest of any 50 words in a row",
    ),
    Measure(name="longest_word", origin="text", fact=False, unit="letters", words="longest word", row=22),
    Measure(name="same_text_share", origin="text", fact=True),
    Measure(
        name="text_error", origin="text model", fact=False, unit=SHARE, row=24,
        words="characters that a model hears otherwise",
    ),
    Measure(
        name="text_ctc", origin="text model", fact=False, unit="nats a character", words="text against audio", row=23,
    ),
    Measure(name="sample_rate_hz", origin="header", fact=True),
    Measure(name="channels", origin="header", fact=True),
    Measure(name="correlation", origin="pair", fact=False, words="correlation of the waveforms"),
)  # fmt: skip
BY_NAME = MappingProxyType({measure.name: measure for measure in MEASURES})


def measure_of(name: str) -> Measure:
    """Return the measure of this name; of any other column, one without words and unit."""
    return BY_NAME.get(name) or Measure(name=name, origin="header", fact=False)


def names_of(*origins: Origin) -> tuple[str, ...]:
    """Return the names of the measures of these origins, in the order of the table's columns."""
    return tuple(measure.name for measure in MEASURES if measure.origin in origins)


def names_in_rows() -> tuple[str, ...]:
    """Return the names of the measures in the page's table of quantiles, in its order."""
    rows = sorted((measure.row, measure.name) for measure in MEASURES if measure.row is not None)
    return tuple(name for _, name in rows)
