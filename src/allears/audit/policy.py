"""From rules and findings to verdicts. Hard: never in a shard. Soft: in the shards, left out by the selection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit import leakage, licences, overrides, rules, suspect
from allears.audit.groups import in_order_of
from allears.audit.measures import names_of
from allears.errors import ConfigError, nearest
from allears.params.audit import AuditParams
from allears.params.policy import Bounds, Policy, Rule

COLUMNS = (
    "clip", "verdict", "reasons", "duplicate_of", "override", "override_why", "overridden", "set_aside",
)  # fmt: skip
RULED = names_of("audio", "derived", "text", "text model", "header")  # measures that a rule may look at
_HARD = {
    "undecodable": "the file does not decode to audio",
    "withdrawn": "decodes to the samples of a clip that was withdrawn from this corpus",
    "licence_denied": "the licence is on the list of those that may not be used",
    "licence_unknown": "the licence is unknown or in neither list",
    "byte_duplicate": "the same bytes as another clip",
    "pcm_duplicate": "decodes to exactly the samples of another clip",
}
_SOFT = {
    "speaker_leak": "its speaker is also in a held-out split",
    "session_leak": "its session is also in a held-out split, with another speaker",
    "reencoded_duplicate": "another encoding of the same recording",
    "copy_leak": "a copy of a clip of a split that is further held out",
    "overlap_leak": "a part of its audio is also in a clip of a split that is further held out",
    "dropped_by_person": "a person decided to leave it out",
}

UNFORGIVEN = frozenset(_SOFT) - {"reencoded_duplicate"}  # soft, and set aside by nobody: what is tested on is not heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What a reason code does and means. `forgivable`: `keep_despite` and a person's keep may set it aside."""

    verdict: str
    means: str
    forgivable: bool = False


def reasons_of(policy: Policy) -> dict[str, Reason]:
    """Every reason code that a clip can get under the policy, in the order in which a clip's reasons are named."""
    given = {
        code: Reason(verdict=rule.verdict, means=rule.means or in_words(rule), forgivable=rule.verdict == "soft")
        for code, rule in policy.root.items()
    }
    return {
        **{code: Reason(verdict="hard", means=means) for code, means in _HARD.items()},
        **{code: reason for code, reason in given.items() if reason.verdict == "hard"},
        **{code: reason for code, reason in given.items() if reason.verdict == "soft"},
        **{
            code: Reason(verdict="soft", means=means, forgivable=code not in UNFORGIVEN)
            for code, means in _SOFT.items()
        },
    }


def in_words(rule: Rule) -> str:
    """The rule as a phrase: `snr_db under 10, of speech, of 1 s and more`."""
    parts = [_bounds_in_words(bounds) + (f" ({where})" if where else "") for where, bounds in rule.all_bounds()]
    if rule.iqr is not None:
        parts.append(f"over {rule.iqr:g} interquartile ranges outside the quartiles of its language")
    text = f"{rule.measure} {', '.join(part for part in parts if part)}"
    whose = {
        "speech": ", of speech", "text": ", of clips with a text",
        "sounds": ", of sounds", "all": "", "none": " (switched off)",
    }  # fmt: skip
    return text + whose[rule.of] + (f", of {rule.needs_s:g} s and more" if rule.needs_s else "")


def check(policy: Policy, params: AuditParams, measures: Iterable[str] = RULED) -> None:
    """Raise ConfigError for a rule over an unknown measure, and for a code of `keep_despite` or `confirm` that is no
    reason of the kind that it needs.
    """
    known = list(measures)
    for code, rule in policy.root.items():
        if rule.measure not in known:
            raise ConfigError(
                f"policies.{params.policy}.{code}.measure: there is no measure '{rule.measure}'"
                f"{nearest(rule.measure, known) or '.'} Valid are {', '.join(known)}"
            )
    forgivable = [code for code, reason in reasons_of(policy).items() if reason.forgivable]
    for code in params.keep_despite:
        if code not in forgivable:
            raise ConfigError(
                f"audit.keep_despite: '{code}' is no soft reason of the policy '{params.policy}'"
                f"{nearest(code, forgivable) or '.'} Valid are {', '.join(forgivable)}"
            )
    confirmable = [code for code, rule in policy.root.items() if suspect.may_be_set_aside(rule)]
    for code in params.confirm:
        if code not in confirmable:
            raise ConfigError(
                f"audit.confirm: '{code}' is no soft rule over an estimate in the policy '{params.policy}', so it is "
                f"never set aside{nearest(code, confirmable) or '.'} Valid are {', '.join(confirmable) or 'none'}"
            )


def judge(
    manifest: pd.DataFrame, measures: pd.DataFrame, found: pd.DataFrame, params: AuditParams, policy: Policy,
    decided: pd.DataFrame | None = None, withdrawn: Iterable[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """One verdict a clip, in the manifest's order: COLUMNS; `reasons` joins all that apply, hard ones first.

    `found` are the duplicates, `decided` a person's overrides (`overrides.COLUMNS`): a keep sets forgivable reasons
    aside, and `overridden` names them; a drop adds a soft reason. `withdrawn` are digests of decoded audio that may not
    come back. `set_aside` names the rules that flag the clip and describe the corpus or a group (`suspect`): they give
    no reason. Raises ConfigError as `check` does.
    """
    table = manifest.merge(measures, on="clip", how="left", validate="1:1")
    check(policy, params, table.select_dtypes("number").columns)
    person = overrides.by_clip(table["clip"], decided)
    kept_N, dropped_N = (person["decision"].fillna("").eq(word).to_numpy(dtype=bool) for word in ("keep", "drop"))
    back_N = table["pcm_sha256"].isin(list(withdrawn)).to_numpy(dtype=bool)
    flags = _flags(table, found, params, policy) | {"dropped_by_person": dropped_N, "withdrawn": back_N}
    known = reasons_of(policy)
    doubted = suspect.doubts(table, flags, policy, params)
    bits_N = _bits(flags, known, len(table))
    doubted_N = _bits({code: doubt.clips_N for code, doubt in doubted.items()}, known, len(table))
    bits_N &= ~doubted_N
    forgivable = _mask(code for code, reason in enumerate(known.values()) if reason.forgivable)
    aside_N = np.where(kept_N, bits_N & forgivable, np.uint64(0))
    bits_N &= ~aside_N
    hard = _mask(code for code, reason in enumerate(known.values()) if reason.verdict == "hard")
    result = pd.DataFrame(
        {
            "clip": table["clip"],
            "verdict": np.where(bits_N & hard, "hard", np.where(bits_N, "soft", "keep")),
            "reasons": _joined(bits_N, list(known)),
            "duplicate_of": table["clip"].map(dict(zip(found["clip"], found["duplicate_of"], strict=True))),
            "override": person["decision"],
            "override_why": person["why"],
            "overridden": _joined(aside_N, list(known)),
            "set_aside": _joined(doubted_N, list(known)),
        }
    )
    return result.astype(dict.fromkeys(COLUMNS, "string"))


def describe_set_aside(
    manifest: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame, params: AuditParams, policy: Policy
) -> dict[str, suspect.SetAside]:
    """Return the rules that `judge` set aside, with scopes, counts and clips to listen to; tables are joined only where
    there are any.
    """
    if not verdicts["set_aside"].ne("").any():
        return {}
    means = {code: reason.means for code, reason in reasons_of(policy).items()}
    table = manifest.merge(measures, on="clip", how="left", validate="1:1")
    return suspect.describe(table, in_order_of(manifest, verdicts, "the table of verdicts"), policy, params, means)


def having(reasons: pd.Series[str], code: str) -> pd.Series[bool]:
    """Which clips have the reason, of a column of joined reasons; looks at each combination once."""
    return reasons.map({each: code in each.split(",") for each in reasons.unique()}).astype(bool)


def count_reasons(verdicts: pd.DataFrame) -> dict[str, int]:
    """Reason → clips that it applies to (a clip may have several), the most frequent first."""
    combinations = verdicts["reasons"].value_counts()
    counts: dict[str, int] = {}
    for joined, clips in combinations.items():
        for code in filter(None, str(joined).split(",")):
            counts[code] = counts.get(code, 0) + int(clips)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _flags(
    table: pd.DataFrame, found: pd.DataFrame, params: AuditParams, policy: Policy
) -> dict[str, NDArray[np.bool_]]:
    kinds, twins = (
        table["clip"].map(dict(zip(found["clip"], found[name], strict=True))) for name in ("kind", "duplicate_of")
    )
    standings = table["licence"].map(
        {name: licences.standing(name, params.licences) for name in table["licence"].unique()}
    )
    raised = {
        "undecodable": table["failed_reason"].notna() | table["decoded_duration_s"].isna(),
        "licence_denied": standings == "denied",
        "licence_unknown": (standings == "unknown") & (params.licences.unknown == "refuse"),
        "byte_duplicate": kinds == "byte",
        "pcm_duplicate": kinds == "pcm",
        "reencoded_duplicate": kinds == "reencoded",
        "copy_leak": leakage.copy_leaks(table, twins),
        "overlap_leak": leakage.overlap_leaks(table),
        "speaker_leak": leakage.leaks(table),
        "session_leak": leakage.session_leaks(table, params.max_session_share),
    }
    structural = {code: flag.fillna(value=False).to_numpy(dtype=bool) for code, flag in raised.items()}
    return structural | {code: rules.flagged(table, rule) for code, rule in policy.root.items()}


def _bits(flags: Mapping[str, NDArray[np.bool_]], codes: Iterable[str], clips: int) -> NDArray[np.uint64]:
    """Return a number per clip: bit i is set where `flags` has the i-th code for it."""
    bits_N = np.zeros(clips, dtype=np.uint64)
    for place, code in enumerate(codes):
        if code in flags:
            bits_N |= flags[code].astype(np.uint64) << np.uint64(place)
    return bits_N


def _mask(places: Iterable[int]) -> np.uint64:
    return np.uint64(sum(1 << place for place in places))


def _joined(bits_N: NDArray[np.uint64], codes: list[str]) -> NDArray[np.object_]:
    """The names of the bits that are set, joined by commas; each combination is written once."""
    combinations, which_N = np.unique(bits_N, return_inverse=True)
    names = [",".join(code for place, code in enumerate(codes) if int(bits) >> place & 1) for bits in combinations]
    return np.array(names, dtype=object)[which_N]


def _bounds_in_words(bounds: Bounds) -> str:
    low = f"under {bounds.min:g}" if bounds.min is not None else ""
    high = f"over {bounds.max:g}" if bounds.max is not None else ""
    return " or ".join(filter(None, (low, high)))
