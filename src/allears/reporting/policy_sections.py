"""What the policy is and where it cuts, and what people decided against it: sections of the audit's page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from allears.audio.measures import CEILING_DB, ROOM_DBFS, STEADY_DB
from allears.audio.speech import PAUSE_SHARE
from allears.audit import rules
from allears.audit.derived import SPEECH_FROM
from allears.audit.policy import in_words, reasons_of
from allears.params.audit import AuditParams
from allears.params.policy import Policy
from allears.reporting import figures, measure_words
from allears.reporting.html import Column, figure, table

MAX_CUTS = 6  # lines in a figure; with bounds for many languages, the table of rules has all
_ALWAYS = ("decoded_duration_s", "rms_dbfs", "snr_db", "silence_share", "bandwidth_hz", "clipped_share")
_CAPTIONS = {"snr_db": f"; at {CEILING_DB:g} dB the estimate is at its ceiling: there is that little noise, or less"}


def sound(clips: pd.DataFrame, policy: Policy) -> list[Markup]:
    """Histograms of what every page shows and of what the policy cuts, with its bounds."""
    judged = [rule.measure for rule in policy.root.values() if rule.of != "none"]
    plots = []
    for name in dict.fromkeys((*_ALWAYS, *judged)):
        values = clips[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if len(np.unique(values[np.isfinite(values)])) < 2:
            continue
        cuts = [
            cut for code, rule in policy.root.items() if rule.measure == name for cut in rules.cuts(clips, rule, code)
        ]
        share = measure_words.is_share(name)
        title = measure_words.name(name) if share else measure_words.title(name)
        caption = f"Clips by {measure_words.name(name)}{_CAPTIONS.get(name, '')}{_whom(policy, name)}"
        caption += f"; {len(cuts) - MAX_CUTS} more cut-offs are in the table of rules" if len(cuts) > MAX_CUTS else ""
        shown = figures.histogram(values, title=title, cuts=cuts[:MAX_CUTS], percent=share)
        plots.append(figure(shown, caption, height_px=230))
    return plots


def _whom(policy: Policy, measure: str) -> str:
    """`; noisy: only speech, of 1 s and more`: a clip beyond the line may be none that the rule judges."""
    parts = []
    for code, rule in policy.root.items():
        if rule.measure == measure and (rule.of in ("speech", "sounds", "text") or rule.needs_s):
            whom = {"speech": "speech", "sounds": "sounds", "text": "clips with a text"}.get(rule.of, "clips")
            parts.append(f"; {code}: only {whom}" + (f" of {rule.needs_s:g} s and more" if rule.needs_s else ""))
    return "".join(parts)


def decisions(decided: pd.DataFrame, clips: pd.DataFrame) -> Markup | None:
    """What people decided, what it set aside and what came of it."""
    if decided.empty:
        return None
    judged = clips[["clip", "path", "verdict", "reasons", "overridden"]]
    rows = decided.merge(judged, on="clip", validate="1:1")
    rows = rows.assign(**{name: rows[name].str.replace(",", ", ") for name in ("reasons", "overridden")})
    return table(
        rows,
        (
            Column(key="path", title="file", kind="path"), Column(key="decision", title="decision"),
            Column(key="why", title="why"), Column(key="overridden", title="set aside"),
            Column(key="verdict", title="verdict now"), Column(key="reasons", title="reasons that stay"),
            Column(key="who", title="who"), Column(key="date", title="when"),
        ),
    )  # fmt: skip


def methods(policy: Policy, params: AuditParams, policy_name: str) -> Markup:
    """Return each reason with its rule and the definition of its measure, under the policy's name."""
    m, d = params.measures, params.duplicates
    silence = (
        f"32 ms frames under {m.silence_dbfs:g} dBFS, and {m.silence_below_loud_db:g} dB under the loudest tenth or "
    )
    silence += f"under {ROOM_DBFS:g} dBFS; where nobody speaks (the loudest tenth is under the level and within "
    silence += f"{STEADY_DB:g} dB of the softest quarter) all under the level"
    definitions = {
        "snr_db": f"Kim & Stern 2008, without digital silence; {CEILING_DB:g} dB is its ceiling",
        "clipped_share": f"samples at {m.clip_level:g} or more",
        "silence_share": silence,
        "bandwidth_share": f"the mean spectrum's last bin within {m.bandwidth_drop_db:g} dB of its peak, over half the "
        "sample rate or 8 kHz, whichever is less",
        "duration_difference_s": "of what the header declares and what it decodes to",
        "zero_share": "samples that are exactly zero",
        "dc_offset": "mean of the samples that are no digital silence, full scale is 1",
        "rumble_db": "power under 50 Hz, without the offset, over the power of the rest",
        "hum_db": "the second strongest of the lines at 50 or 60 Hz and their harmonics, over their surroundings",
        "pause_snr_db": "mean power of chunks with speech, less that of the pauses, over the "
        f"{PAUSE_SHARE:.0%} quantile of the power of the pauses",
        "speech_share": f"Silero's voice activity detector, chunks of 32 ms at {m.speech_probability:g} or more",
        "mix_loss_db": "level of the channels over that of their mean",
        "letters_per_s": "of scripts that spell sounds, over the declared duration",
        "chars_per_s": "letters, marks and digits over the declared duration",
        "unique_word_share": "the lowest of any 50 words in a row",
    }
    known = reasons_of(policy)
    rows = [
        (code, in_words(rule), known[code].verdict, definitions.get(rule.measure, ""))
        for code, rule in policy.root.items()
    ]
    alike = f"fingerprints differ in at most {d.max_bit_error:.0%} of their bits, lengths by"
    alike += f" {d.max_duration_difference_s:g} s, and the waveforms correlate at {d.min_correlation:g} or more"
    refused = "refused" if params.licences.unknown == "refuse" else "allowed"
    rows += [
        ("reencoded_duplicate", alike, "soft", "Haitsma & Kalker 2002"),
        ("licence", f"SPDX name against the lists allow and deny; all else is unknown and {refused}", "hard", ""),
    ]
    keys = ("flag", "rule", "verdict", "source")
    columns = (
        Column(key="flag", title="reason", kind="code"), Column(key="rule", title="rule"),
        Column(key="verdict", title="verdict"), Column(key="source", title="definition"),
    )  # fmt: skip
    listed = table([dict(zip(keys, row, strict=True)) for row in rows], columns)
    despite = f" Kept despite: {', '.join(params.keep_despite)}." if params.keep_despite else ""
    despite += f" Confirmed by a person: {', '.join(params.confirm)}." if params.confirm else ""
    spoken = "Speech is what has a text, language or speaker (itself, or the recording that it is cut from), and what "
    spoken += f"is heard as speech in {SPEECH_FROM:.0%} of its length or more; all else are sounds."
    return Markup("<p>Policy <b>{}</b>.{} {}</p>{}").format(policy_name, despite, spoken, listed)
