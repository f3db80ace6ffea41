"""The selection: which clips training hears, and how often in an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from allears.audit import budget, licences, ranking
from allears.audit.groups import Axis, Ints, Mask, axis, clusters_of, hours_of, in_order_of, reason_masks
from allears.audit.policy import UNFORGIVEN, count_reasons, having
from allears.audit.targets import Target
from allears.errors import CorpusError
from allears.params.audit import AuditParams, CurationParams

MEANINGS = {
    "off_target": "its group is not in the target of the curation",
    "speaker_cap": "its speaker has the hours that one speaker may have, in better clips",
    "budget": "its group has the hours that the budget gives it, in better clips",
}
_FITS = 1 + 1e-9  # room for rounding: all that there is fits into a budget of as much
Floats = NDArray[np.float64]


def select(
    manifest: pd.DataFrame, measures: pd.DataFrame, verdicts: pd.DataFrame, target: Target | None, params: AuditParams
) -> pd.DataFrame:
    """clip, keep, weight (1.0: once an epoch; 0.0 when left out), reason, in the manifest's order.

    `reason` of what is left out: 'policy' (the verdict says why) or a curation's (MEANINGS); else ''. `target` is that
    of `params.curation`. The selection may be empty: `check_some_left` raises, once the page that explains it is there.
    """
    tolerated = set(params.keep_despite)
    verdicts = in_order_of(manifest, verdicts, "the table of verdicts")
    against = [mask for reason, mask in reason_masks(verdicts["reasons"]).items() if reason not in tolerated]
    kept_N = ~np.any(against, axis=0) if against else np.ones(len(manifest), dtype=bool)
    reason_N = np.where(kept_N, "", "policy").astype(object)
    weight_N = kept_N.astype(np.float64)
    trained_N = kept_N & (manifest["split"] == "train").to_numpy(dtype=bool)
    rows = manifest.loc[trained_N]
    measured = in_order_of(manifest, measures[["clip", *ranking.MEASURES]], "the table of measures")[trained_N]
    reason_N[trained_N], weight_N[trained_N] = _curate(rows, measured, target, params.curation)
    left_N = reason_N == ""
    table = {"clip": manifest["clip"], "keep": left_N, "weight": weight_N, "reason": reason_N}
    return pd.DataFrame(table).astype({"clip": "string", "reason": "string"})


def check_some_left(
    manifest: pd.DataFrame, verdicts: pd.DataFrame, selection: pd.DataFrame, params: AuditParams, corpus: str,
    licence_words: Sequence[str] = (),
) -> None:  # fmt: skip
    """Raise CorpusError with the reasons when the selection leaves no clip of the train split; `licence_words` is
    quoted in it.
    """
    selection = in_order_of(manifest, selection, "the selection")
    train_N = (manifest["split"] == "train").to_numpy(dtype=bool)
    kept_N = selection["keep"].to_numpy(dtype=bool)
    passed_N = train_N & (selection["reason"] != "policy").to_numpy(dtype=bool)
    if (kept_N & train_N).any():
        return
    if passed_N.any():
        raise CorpusError(_nothing_fits(corpus, manifest.loc[passed_N], params.curation))
    what = "no clip is" if not kept_N.any() else "no clip of the train split is"
    raise CorpusError(_nothing_passes(what, manifest, verdicts, params, corpus, licence_words))


def _curate(
    rows: pd.DataFrame, measures: pd.DataFrame, target: Target | None, params: CurationParams
) -> tuple[NDArray[np.object_], Floats]:
    """Reason and weight of each training clip: off target, then the speakers' cap, the budget and the weights."""
    hours_N, groups = hours_of(rows), _groups(rows, params)
    reason_N = np.full(len(rows), "", dtype=object)
    if target is not None:
        off_G = groups.known & (target.wanted(groups.cells) <= 0)
        reason_N[off_G[groups.cell_N]] = "off_target"
    order_N = np.zeros(0, dtype=np.int64)
    if params.speaker_max_hours is not None or params.budget_hours is not None:
        order_N = ranking.best_first(ranking.quality_score(measures), rows["clip"])
    if params.speaker_max_hours is not None:
        speakers = clusters_of(rows)
        room_C = np.full(speakers.count, params.speaker_max_hours * _FITS)
        _leave_out(reason_N, "speaker_cap", budget.fill(hours_N, speakers.cluster_N, room_C, _left(order_N, reason_N)))
    available_G = groups.sums(np.where(reason_N == "", hours_N, 0.0))
    wanted_G = wanted_shares(groups, available_G, target, params.alpha)
    if params.budget_hours is not None:
        room_G = budget.quotas(available_G, wanted_G, params.budget_hours) * _FITS
        _leave_out(reason_N, "budget", budget.fill(hours_N, groups.cell_N, room_G, _left(order_N, reason_N)))
    left_N = reason_N == ""
    if target is None and params.alpha == 1:
        return reason_N, left_N.astype(np.float64)
    repeats_G = _repeats(groups.sums(np.where(left_N, hours_N, 0.0)), wanted_G, params.max_repeat)
    return reason_N, np.where(left_N, repeats_G[groups.cell_N], 0.0)


def _groups(rows: pd.DataFrame, params: CurationParams) -> Axis:
    if params.axis is None:
        return Axis("all", ("all",), np.zeros(len(rows), dtype=np.int64))
    return axis(rows, params.axis)


def wanted_shares(groups: Axis, hours_G: Floats, target: Target | None, alpha: float) -> Floats:
    """The share of the hours that each group should have, [G]: those of the target, or p^alpha of the known groups.

    Unknown keeps the share that it has: people who do not tell are no group to balance, and none to drop.
    """
    share_G = hours_G / max(hours_G.sum(), 1e-12)
    known = groups.known & (share_G > 0)
    wanted_G = np.where(known, share_G**alpha if target is None else target.wanted(groups.cells), 0.0)
    wanted_G *= share_G[known].sum() / max(wanted_G.sum(), 1e-12)
    return np.where(groups.known, wanted_G, share_G)


def _repeats(hours_G: Floats, wanted_G: Floats, max_repeat: float) -> Floats:
    """How often each group's clips are heard so that the shares are those wanted, the total unchanged, then capped."""
    wanted_G = np.where(hours_G > 0, wanted_G, 0.0)
    share_G = wanted_G / max(wanted_G.sum(), 1e-12)
    repeats_G = np.divide(share_G * hours_G.sum(), hours_G, out=np.zeros_like(hours_G), where=hours_G > 0)
    capped: Floats = np.minimum(repeats_G, max_repeat)
    return capped


def _left(order_N: Ints, reason_N: NDArray[np.object_]) -> Ints:
    left: Ints = order_N[reason_N[order_N] == ""]
    return left


def _leave_out(reason_N: NDArray[np.object_], reason: str, taken_N: Mask) -> None:
    reason_N[(reason_N == "") & ~taken_N] = reason


def _nothing_fits(corpus: str, rows: pd.DataFrame, params: CurationParams) -> str:
    hours = hours_of(rows)
    limits = {name: getattr(params, name) for name in ("target", "speaker_max_hours", "budget_hours")}
    named = ", ".join(f"audit.curation.{name}={value}" for name, value in limits.items() if value is not None)
    return (
        f"corpus '{corpus}': no training clip is left after the curation ({named}). There are {len(rows):,} clips of "
        f"{hours.sum():.4f} hours, the shortest has {hours.min():.6f}. Raise the limits, or take them away."
    )


def _nothing_passes(
    what: str, manifest: pd.DataFrame, verdicts: pd.DataFrame, params: AuditParams, corpus: str,
    licence_words: Sequence[str],
) -> str:  # fmt: skip
    counts = ", ".join(f"{reason} {count:,}" for reason, count in count_reasons(verdicts).items()) or "none"
    message = f"corpus '{corpus}': {what} left after the audit of {len(manifest):,} clips. Reasons: {counts}. "
    if (undeclared := having(verdicts["reasons"], "licence_unknown")).any():
        unknown = manifest.loc[undeclared.to_numpy(), "licence"]
        return f"{message}The {licences.how_to_declare(corpus, unknown, params.licences, licence_words)}."
    soft = [each for each in count_reasons(verdicts[verdicts["verdict"] == "soft"]) if each not in UNFORGIVEN]
    hint = f", or keep what is flagged: --params 'audit.keep_despite=[{','.join(soft)}]'" if soft else ""
    return (
        message + "Check the recordings, choose another audit.policy or change its rules in parameters_policies.yml"
        f"{hint}; then run the command again."
    )
