"""The selection: which clips training hears, and how often in an epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from allears.audit import licences
from allears.audit.policy import count_reasons, having
from allears.errors import CorpusError
from allears.params.audit import AuditParams, WeightParams


def select(manifest: pd.DataFrame, verdicts: pd.DataFrame, params: AuditParams, corpus: str) -> pd.DataFrame:
    """clip, keep, weight (1.0: once an epoch; 0.0 when left out), in the manifest's order.

    Raises CorpusError with the reasons when nothing is left, or nothing to train on.
    """
    tolerated = set(params.keep_despite)
    passes = {each: set(each.split(",")) - {""} <= tolerated for each in verdicts["reasons"].unique()}
    keep = verdicts["reasons"].map(passes).to_numpy(dtype=bool)
    _check_some_left(manifest, verdicts, keep, params, corpus)
    weight = np.where(keep, _weights(manifest, keep, params.weights), 0.0)
    return pd.DataFrame({"clip": manifest["clip"].astype("string"), "keep": keep, "weight": weight})


def effective_clips(weight_N: np.ndarray) -> float:
    """Effective sample size of weighted clips: (sum w)^2 / sum w^2 (Kish 1965)."""
    squares = float(np.square(weight_N).sum())
    return float(weight_N.sum()) ** 2 / squares if squares > 0 else 0.0


def _weights(manifest: pd.DataFrame, keep: np.ndarray, params: WeightParams) -> np.ndarray:
    """Hours p of each value of the axis among kept training clips become p^alpha, total unchanged, then capped."""
    weight = np.ones(len(manifest))
    trained = keep & (manifest["split"] == "train").to_numpy()
    if params.axis is None or not trained.any():
        return weight
    group = manifest[params.axis].astype("string").fillna("unknown")
    seconds = manifest["end_s"] - manifest["start_s"]
    share = seconds[trained].groupby(group[trained].to_numpy()).sum()
    share = share / share.sum()
    wanted = share**params.alpha
    factor = (wanted / wanted.sum()) / share
    weight[trained] = np.minimum(group[trained].map(factor).to_numpy(dtype=np.float64), params.max_repeat)
    return weight


def _check_some_left(
    manifest: pd.DataFrame, verdicts: pd.DataFrame, keep: np.ndarray, params: AuditParams, corpus: str
) -> None:
    trained = keep & (manifest["split"] == "train").to_numpy()
    if trained.any():
        return
    counts = ", ".join(f"{reason} {count:,}" for reason, count in count_reasons(verdicts).items()) or "none"
    what = "no clip is" if not keep.any() else "no clip of the train split is"
    message = f"corpus '{corpus}': {what} left after the audit of {len(manifest):,} clips. Reasons: {counts}. "
    if (undeclared := having(verdicts["reasons"], "licence_unknown")).any():
        unknown = manifest.loc[undeclared.to_numpy(), "licence"]
        raise CorpusError(message + "The " + licences.how_to_declare(corpus, unknown, params.licences) + ".")
    unforgiven = ("speaker_leak", "dropped_by_person")  # never by a policy
    soft = [each for each in count_reasons(verdicts[verdicts["verdict"] == "soft"]) if each not in unforgiven]
    hint = f"for example audit.keep_despite=[{','.join(soft)}]" if soft else "check the recordings and their licences"
    raise CorpusError(
        message + f"Choose another audit.policy or change its rules in parameters_policies.yml ({hint}), then run the "
        "command again."
    )
