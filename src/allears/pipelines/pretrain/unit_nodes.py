"""The step that judges a language model of units, on speakers that it was not trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from allears.params.base import Paths
from allears.params.objective import NextUnitConfig
from allears.params.pretrain import PretrainParams
from allears.pipelines.pretrain import corpora
from allears.process.say import say
from allears.reporting.terminal import show_unit_scores
from allears.shards.handle import ShardSet

SAMPLED = 24  # units that are shown


def score_units(
    encoder: dict[str, Any],
    targets: dict[str, Any],
    pretrain_plan: dict[str, Any],
    shard_set: dict[str, Any],
    clips: pd.DataFrame,
    params: PretrainParams,
    paths: Paths,
) -> pd.DataFrame:
    """Return perplexities and judgements by language, of dev speakers, as test speakers have no units; empty for
    objectives without a language model.
    """
    from allears.evaluation.unit_lm import COLUMNS, HeldOut, evaluate

    config = params.chosen
    if not isinstance(config, NextUnitConfig):
        return pd.DataFrame(columns=list(COLUMNS))
    from transformers import AutoModelForCausalLM

    from allears.downstream.unit_lm import negative_log, sample
    from allears.evaluation.ngrams import fit_ngrams
    from allears.objectives.next_unit import without_repeats
    from allears.shards.sidecar import Sidecar
    from allears.training.plan import training_data

    data = training_data(ShardSet.from_json(shard_set), paths.clips, params, corpora.read_others(pretrain_plan))
    folders = [targets["folder"], *targets.get("others", ())]

    def units_of(number: int, place: int) -> Any:
        one = data.corpora[number]
        units_U = sidecars[number].get(one.index.clips[place]).astype(np.int64)
        return without_repeats(units_U) if config.remove_repeats else units_U

    sidecars = [
        Sidecar(Path(folder), targets["digest"], one.index) for folder, one in zip(folders, data.corpora, strict=True)
    ]
    train = [
        units_of(number, place)
        for number, one in enumerate(data.corpora)
        for place in np.flatnonzero(one.weights_N > 0).tolist()
    ]
    places = np.flatnonzero(data.main.dev_weights_N > 0).tolist()
    if not places:
        say("no language model of units is judged: there is no dev speaker")
        return pd.DataFrame(columns=list(COLUMNS))
    rows = clips.set_index("clip").loc[[data.main.index.clips[place] for place in places]]
    held_out = HeldOut(
        sequences=[units_of(0, place) for place in places],
        languages=[str(value) if isinstance(value, str) and value else "unknown" for value in rows["language"]],
        speakers=[str(value) for value in rows["group"]],
    )
    lm = AutoModelForCausalLM.from_pretrained(Path(encoder["folder"]) / "lm").eval()
    trigram, unigram = (fit_ngrams(train, order, config.units) for order in (3, 1))
    table = evaluate(
        held_out, partial(negative_log, lm),
        lambda some: [trigram.negative_log(units_U.tolist()) for units_U in some],
        lambda some: [unigram.negative_log(units_U.tolist()) for units_U in some],
    )  # fmt: skip
    show_unit_scores(table, sample(lm, SAMPLED, params.seed))
    return table
