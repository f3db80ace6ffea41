"""What the policy is and where it cuts, and what people decided against it: sections of the audit's page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from allears.audio.measures import CEILING_DB
from allears.audit import rules
from allears.audit.derived import SPEECH_FROM
from allears.audit.measures import measure_of
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
    d, settings = params.duplicates, params.measures.model_dump()
    known = reasons_of(policy)
    rows = [
        (code, in_words(rule), known[code].verdict, measure_of(rule.measure).definition.format(**settings))
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
