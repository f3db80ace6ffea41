"""From flags to verdicts. Hard: never in a shard. Soft: in the shards, left out by the selection."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from allears.audit import leakage, licences, quality
from allears.params.audit import AuditParams

HARD = ("undecodable", "withdrawn", "licence_denied", "licence_unknown", "byte_duplicate", "pcm_duplicate")
SOFT = (
    "noisy", "clipped", "silent", "upsampled", "truncated", "too_short", "too_long", "speaker_leak",
    "reencoded_duplicate",
)  # fmt: skip
COLUMNS = ("clip", "verdict", "reasons", "duplicate_of")
MEANINGS = {
    "undecodable": "the file does not decode to audio",
    "withdrawn": "decodes to the samples of a clip that was withdrawn from this corpus",
    "licence_denied": "its licence is on the list of those that may not be used",
    "licence_unknown": "its licence is unknown or in neither list",
    "byte_duplicate": "the same bytes as another clip",
    "pcm_duplicate": "decodes to exactly the samples of another clip",
    "noisy": "estimated signal-to-noise ratio under the cut-off",
    "clipped": "too many samples at full scale",
    "silent": "mostly silence",
    "upsampled": "less bandwidth than its sample rate promises",
    "truncated": "shorter or longer than its header declares",
    "too_short": "too short",
    "too_long": "too long",
    "speaker_leak": "its speaker is also in a held-out split",
    "reencoded_duplicate": "another encoding of the same recording",
}


def judge(
    manifest: pd.DataFrame, measures: pd.DataFrame, found: pd.DataFrame, params: AuditParams,
    withdrawn: Iterable[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """One verdict a clip, in the manifest's order: COLUMNS; `reasons` joins all that apply, hard ones first.

    `withdrawn` are the digests of decoded audio that may not come back.
    """
    table = manifest.merge(measures, on="clip", how="left", validate="1:1")
    kinds = table["clip"].map(dict(zip(found["clip"], found["kind"], strict=True)))
    unique = table["licence"].unique()
    standings = table["licence"].map({name: licences.standing(name, params.licences) for name in unique})
    raised = {
        "undecodable": table["failed_reason"].notna() | table["decoded_duration_s"].isna(),
        "withdrawn": table["pcm_sha256"].isin(list(withdrawn)),
        "licence_denied": standings == "denied",
        "licence_unknown": (standings == "unknown") & (params.licences.unknown == "refuse"),
        "byte_duplicate": kinds == "byte",
        "pcm_duplicate": kinds == "pcm",
        "reencoded_duplicate": kinds == "reencoded",
        "speaker_leak": leakage.leaks(table),
        **quality.flags(table, params.quality),
    }
    reasons = [[] for _ in range(len(table))]  # type: list[list[str]]
    for reason in (*HARD, *SOFT):
        for row in raised[reason].fillna(value=False).to_numpy(dtype=bool).nonzero()[0]:
            reasons[row].append(reason)
    result = pd.DataFrame(
        {
            "clip": table["clip"],
            "verdict": [_verdict(each) for each in reasons],
            "reasons": [",".join(each) for each in reasons],
            "duplicate_of": table["clip"].map(dict(zip(found["clip"], found["duplicate_of"], strict=True))),
        }
    )
    return result.astype(dict.fromkeys(COLUMNS, "string"))


def _verdict(reasons: list[str]) -> str:
    if any(reason in HARD for reason in reasons):
        return "hard"
    return "soft" if reasons else "keep"


def count_reasons(verdicts: pd.DataFrame) -> dict[str, int]:
    """Reason → clips that it applies to (a clip may have several), in the order of HARD and SOFT."""
    split = verdicts["reasons"].str.split(",").explode()
    counts = split[split != ""].value_counts()
    return {reason: int(counts[reason]) for reason in (*HARD, *SOFT) if reason in counts.index}
