"""The probe by layer: what can be read off frozen features, pretrained against random initialisation.

For labels a multinomial logistic regression on the mean of each layer over time (its strength of regularisation is
chosen on dev speakers), for text one small trainable layer with CTC on the frames of a few layers (a linear one is too
weak at small size). Test speakers are predicted once by each. All is paired: draw `d` has the same labelled clips, and
the same new weights of the head, in both arms; only `random` has a new encoder in each draw.

Legend: `N` clips, `L` layers (0: input of the first block), `D` width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import torch
from torch import Tensor

from allears.checkpoints.export import load_export
from allears.downstream.build import build_task
from allears.downstream.examples import Examples
from allears.downstream.extract import FeatureStore, Hidden, hidden_states
from allears.downstream.fit import FitSettings, fit, predictions
from allears.downstream.labels import TEXT, Labelled, limited, read_labelled, why_not, with_classes
from allears.downstream.linear_probe import LinearClassifier, fit_path
from allears.downstream.score_table import PROBE, columns, join_parts, write_table
from allears.downstream.subsets import draw_share, shortage
from allears.evaluation.error_rates import class_errors
from allears.models.base import Encoder
from allears.models.build import build_encoder
from allears.params.probe import ProbeParams
from allears.params.spec_probe import ProbeSpec
from allears.params.task import CTCConfig
from allears.process.events import EventLog
from allears.process.hardware import Hardware, choose_hardware, count_gpus
from allears.process.say import say
from allears.process.workers import side_by_side, worker_count
from allears.shards.handle import ShardSet
from allears.storage.receipt import read_receipt, write_receipt
from allears.text.characters import CharacterTokenizer

Arm = Literal["pretrained", "random"]
SCORES_FILE = "probe_scores.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What this corpus lets us ask: labelled clips and their classes, transcribed clips; and why not, in words."""

    label: Labelled | None
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    text: Labelled | None
    notes: tuple[str, ...]

    @property
    def clips(self) -> list[str]:
        """All clips that are needed, each once."""
        parts = [part.clips for part in (self.label, self.text) if part is not None]
        return list(dict.fromkeys(clip for part in parts for clip in part))


def run(spec: ProbeSpec) -> None:
    """Probe every arm and draw that has no part yet, then join the parts; the receipt comes last."""
    if read_receipt(spec.folder, spec.identity) is not None:
        return
    torch.set_num_threads(1)
    hardware = choose_hardware("pretrain", spec.accelerator, spec.precision, gpus=count_gpus())
    hardware.set_up()
    shard_set = ShardSet.from_json(spec.shard_set)
    targets = find_targets(spec.clips, spec.probe, shard_set.sample_rate_hz)
    events = EventLog(spec.folder)
    events.params(spec.probe.model_dump(mode="json"))
    for note in targets.notes:
        say(f"probe: {note}")
        events.note(0, 0.0, {"probe": note})
    parts: list[Path] = []
    if targets.clips:
        parts = _probe_arms(spec, shard_set, targets, hardware)
    join_parts(spec.folder / SCORES_FILE, parts, PROBE)
    notes = {"notes": list(targets.notes), "clips": len(targets.clips)}
    notes |= {"accelerator": hardware.accelerator, "precision": hardware.precision}
    write_receipt(spec.folder, spec.identity, notes)
    events.end(0, 0.0, {})


def find_targets(clips: Path, params: ProbeParams, rate_hz: int) -> Targets:
    """The label column and the text, where enough clips of train, dev and test speakers carry them."""
    notes = []
    labelled, _ = with_classes(read_labelled(clips, params.label), params.min_clips_per_class)
    labelled = limited(labelled, params.limits, rate_hz, params.seed)
    labelled, classes = with_classes(labelled, params.min_clips_per_class)  # the limits may have made one too small
    if reason := why_not(labelled, classes, params.min_clips_per_class):
        notes.append(f"no probe of {params.label!r}: {reason}")
    shares = []
    for share in params.shares:
        if short := shortage(labelled.counts("train"), share, 1):
            notes.append(f"no probe of {params.label!r} at {share:.4g} of the labels: none of {short.name!r} is left")
        else:
            shares.append(share)
    text = limited(read_labelled(clips, TEXT), params.limits, rate_hz, params.seed)
    if missing := why_not(text, (), params.min_text_clips):
        notes.append(f"no probe of text: {missing}")
    return Targets(
        label=labelled if shares and not reason else None,
        classes=classes,
        shares=tuple(shares),
        text=None if missing else text,
        notes=tuple(notes),
    )


def _probe_arms(spec: ProbeSpec, shard_set: ShardSet, targets: Targets, hardware: Hardware) -> list[Path]:
    pretrained = load_export(spec.encoder)
    work: list[tuple[Arm, int]] = [(arm, draw) for arm in ("pretrained", "random") for draw in range(spec.probe.draws)]
    parts = {place: spec.folder / hardware.name / f"part-{place[0]}-{place[1]}.parquet" for place in work}
    todo = [place for place in work if not parts[place].exists()]
    if not todo:
        return list(parts.values())
    store = FeatureStore(shard_set, pretrained, spec.probe.limits.seconds, hardware)
    inputs = store.of(targets.clips)
    heard = {"pretrained": _listen(pretrained, inputs, targets, spec.probe, hardware)}

    def probe(place: tuple[Arm, int]) -> tuple[Arm, int]:
        arm, draw = place
        hidden = heard.get(arm)
        if hidden is None:
            hidden = _listen(random_encoder(pretrained, spec.probe.seed, draw), inputs, targets, spec.probe, hardware)
        tables = _linear(hidden, targets, spec.probe, arm, draw)
        tables += _text(hidden, targets, spec.probe, arm, draw, hardware)
        write_table(parts[place], tables, PROBE)
        return place

    workers = worker_count(spec.probe.workers, hardware.device)
    for number, (arm, draw) in enumerate(side_by_side(probe, todo, workers), start=1):
        say(f"probed {number} of {len(todo)}: {arm} features, draw {draw}")
    return list(parts.values())


def random_encoder(like: Encoder, seed: int, draw: int) -> Encoder:
    """An encoder of the same configuration that has heard nothing; another one for each draw."""
    return build_encoder(like.config, seed=1_000_003 * (seed + 1) + draw)


def text_layers(params: ProbeParams, blocks: int) -> tuple[int, ...]:
    """Asked blocks, or the middle and the last one; those that the encoder has."""
    asked = params.text_layers if params.text_layers is not None else ((blocks + 1) // 2, blocks)
    return tuple(sorted({layer for layer in asked if 0 <= layer <= blocks}))


def _listen(
    encoder: Encoder, inputs: list[Tensor], targets: Targets, params: ProbeParams, hardware: Hardware
) -> Hidden:
    layers = text_layers(params, encoder.config.blocks) if targets.text is not None else ()
    spoken = set(targets.text.clips) if targets.text is not None else set()
    wanted = {i for i, clip in enumerate(targets.clips) if clip in spoken}
    return hidden_states(encoder, inputs, layers, hardware, wanted=wanted)


def _linear(hidden: Hidden, targets: Targets, params: ProbeParams, arm: Arm, draw: int) -> list[pa.Table]:
    labelled = targets.label
    if labelled is None:
        return []
    place = {clip: i for i, clip in enumerate(targets.clips)}
    features_NLD = hidden.pooled_NLD[[place[clip] for clip in labelled.clips]]
    classes_N = torch.tensor([targets.classes.index(one) for one in labelled.references])
    train, dev, test = (labelled.of(split) for split in ("train", "dev", "test"))
    tables = []
    for share in targets.shares:
        picked = draw_share(
            [labelled.references[i] for i in train], [labelled.groups[i] for i in train], share, params.seed + draw
        )
        chosen = [train[int(i)] for i in picked]
        for layer in range(features_NLD.shape[1]):
            x_ND = features_NLD[:, layer]
            errors, best = _choose_ridge(x_ND, classes_N, chosen, dev, len(targets.classes), params)
            said = [targets.classes[i] for i in best.predict(x_ND[test]).tolist()]
            fixed: dict[str, object] = {"arm": arm, "draw": draw, "layer": layer}
            fixed |= {"target": labelled.target, "share": share}
            tables.append(_rows(labelled, test, said, fixed | {"dev_errors": errors, "dev_total": len(dev)}))
    return tables


def _choose_ridge(
    x_ND: Tensor,
    classes_N: Tensor,
    chosen: list[int],
    dev: list[int],
    classes: int,
    params: ProbeParams,
) -> tuple[int, LinearClassifier]:
    """Fewest errors on dev clips, of equals the strongest ridge."""
    best: tuple[int, LinearClassifier] | None = None
    for _, found in fit_path(x_ND[chosen], classes_N[chosen], classes, params.ridges):
        errors = int((found.predict(x_ND[dev]) != classes_N[dev]).sum())
        if best is None or errors < best[0]:
            best = errors, found
    if best is None:
        raise ValueError("no ridges")
    return best


def _rows(labelled: Labelled, test: list[int], said: list[str], fixed: dict[str, object]) -> pa.Table:
    references = [labelled.references[i] for i in test]
    varying: dict[str, Sequence[object]] = {
        "clip": [labelled.clips[i] for i in test],
        "group": [labelled.groups[i] for i in test],
        "reference": references,
        "prediction": said,
        "errors": [class_errors(one, other)[0] for one, other in zip(references, said, strict=True)],
        "total": [1] * len(test),
    }
    return columns(fixed, varying, PROBE)


def _text(
    hidden: Hidden, targets: Targets, params: ProbeParams, arm: Arm, draw: int, hardware: Hardware
) -> list[pa.Table]:
    """One small layer with CTC on each asked layer: the same budget, all transcribed training clips."""
    labelled = targets.text
    if labelled is None:
        return []
    place = {clip: i for i, clip in enumerate(targets.clips)}
    train, dev, test = (labelled.of(split) for split in ("train", "dev", "test"))
    alphabet = CharacterTokenizer.fit(labelled.references[i] for i in train).alphabet
    config = CTCConfig(alphabet=alphabet, head=params.text_head, hidden=params.text_width)
    settings = FitSettings(
        learning_rate=params.text_learning_rate,
        updates=params.text_updates,
        batch_clips=params.text_batch_clips,
        dev_every=params.text_updates,
        seed=params.seed + draw,
    )
    tables = []
    for layer, frames in hidden.frames.items():
        examples = Examples(
            inputs=[frames[place[clip]] for clip in labelled.clips],
            references=labelled.references,
            clips=labelled.clips,
            groups=labelled.groups,
        )
        model = build_task(config, hidden.pooled_NLD.shape[2], seed=params.seed + draw)
        found = fit(model, examples.take(train), examples.take(dev), settings, hardware)
        heard = examples.take(test)
        said = predictions(model, heard, hardware)
        pairs = [model.errors(one, other) for one, other in zip(heard.references, said, strict=True)]
        fixed: dict[str, object] = {"arm": arm, "draw": draw, "layer": layer, "target": TEXT, "share": 1.0}
        fixed |= {"dev_errors": found.best.errors, "dev_total": found.best.total}
        varying: dict[str, Sequence[object]] = {
            "clip": heard.clips,
            "group": heard.groups,
            "reference": heard.references,
            "prediction": said,
            "errors": [errors for errors, _ in pairs],
            "total": [total for _, total in pairs],
        }
        tables.append(columns(fixed, varying, PROBE))
    return tables
