"""How far our models are from transformers: the largest difference of each, beside the tolerance that tests hold it to.

Run `make parity` (or `python tests/benchmark/parity.py`); about two minutes and 4 GB. Weights are random, equal on both
sides; `tests/parity` has the cases with padding, masks, gradients and exports.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import transformers
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from allears.models.log_mel import LogMel
from allears.objectives.next_unit import NextUnit
from allears.params.model import LogMelConfig
from allears.types import Padded
from tests.parity import test_conformer, test_log_mel, test_next_unit, test_wav2vec2_loss, test_waveform

Found = tuple[float, float]  # largest difference, tolerance


def main() -> None:
    """Print the table."""
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    print(f"{'what':44}{'against':26}{'largest difference':>20}{'tolerance':>12}")
    missed = []
    for what, against, measure in rows():
        difference, tolerance = measure()
        gc.collect()
        if difference > tolerance:
            missed.append(what)
        print(f"{what:44}{against:26}{difference:20.1e}{tolerance:12.0e}", flush=True)
    print(f"Missed: {', '.join(missed) or 'nothing'}")
    sys.exit(bool(missed))


def rows() -> Iterator[tuple[str, str, Callable[[], Found]]]:
    """Yield what is measured, against what, and how."""
    yield "log-mels, float64", "SeamlessM4TFeatureExtractor", lambda: log_mels(torch.float64, 2e-6)
    yield "log-mels, float32", "SeamlessM4TFeatureExtractor", lambda: log_mels(torch.float32, 1e-2)
    for positions in test_conformer.POSITIONS:
        yield f"conformer, tiny, {positions}", "Wav2Vec2BertModel", lambda positions=positions: conformer(positions)
    sizes = [("tiny", kind, test_waveform.TINY | style) for kind in ("wav2vec2", "hubert")
             for style in (test_waveform.STYLES["group"], test_waveform.STYLES["layer"])]  # fmt: skip
    sizes += [("large" if size else "base", kind, size) for kind, size in test_waveform.PUBLISHED]
    for name, kind, size in sizes:
        norm = size.get("feat_extract_norm", "group")
        model = test_waveform.CLASSES[kind][1].__name__
        yield f"waveform, {name}, {norm} norm", model, lambda kind=kind, size=size: waveform(kind, size)
    yield "wav2vec2: loss with diversity, relative", "Wav2Vec2ForPreTraining", wav2vec2
    yield "next_unit: loss of packed clips, relative", "LlamaForCausalLM", next_unit


def log_mels(dtype: torch.dtype, tolerance: float) -> Found:
    """Features of one clip."""
    clip = test_log_mel.clip(16000)
    extractor = transformers.SeamlessM4TFeatureExtractor(stride=4)
    theirs = extractor(clip, sampling_rate=16000, pad_to_multiple_of=4, return_tensors="pt")["input_features"]
    ours = LogMel(LogMelConfig(stack=4), dtype=dtype)(test_log_mel.padded([clip], dtype)).data
    return float((ours - theirs).abs().max()), tolerance


@torch.no_grad()
def conformer(positions: str) -> Found:
    """Every layer of a padded batch."""
    config = test_conformer.tiny(positions)
    theirs = test_conformer.theirs_of(config)
    features = torch.randn(3, 23, 160, generator=torch.Generator().manual_seed(1))
    expected = test_conformer.run_theirs(theirs, features, test_conformer.FRAMES)
    found = test_conformer.ours_of(config, theirs).encode(Padded(features, test_conformer.FRAMES))
    pairs = zip(found.layers, expected.hidden_states, strict=True)
    return max(_difference(mine[0], other[0]) for mine, other in pairs), 1e-5


@torch.no_grad()
def waveform(kind: str, sizes: dict[str, object]) -> Found:
    """Every layer of one clip, and the output."""
    theirs = test_waveform.theirs_of(kind, sizes, noise=0.0)
    ours = test_waveform.ours_of(theirs)
    features = ours.features(Padded(test_waveform.audio_of().data[:1], test_waveform.SAMPLES[:1], full=True))
    expected = theirs(features.data, output_hidden_states=True)
    found = ours.encode(features)
    pairs = [*zip(found.layers, expected.hidden_states, strict=True), (found.last_BFD, expected.last_hidden_state)]
    return max(_difference(mine, other) for mine, other in pairs), 1e-5


def wav2vec2() -> Found:
    """The whole loss in evaluation mode: without noise both choose the same codes."""
    theirs, ours = test_wav2vec2_loss.pair(40)
    theirs.eval()
    ours.eval()
    batch = test_wav2vec2_loss.batch_of(ours)
    expected = theirs(
        ours.encoder.features(batch.audio).data, mask_time_indices=batch.prepared["mask_BF"],
        sampled_negative_indices=test_wav2vec2_loss.their_negatives(batch.prepared, 7),
    ).loss  # fmt: skip
    return _difference(ours(batch).loss_sum, expected) / float(expected), 1e-5


def next_unit() -> Found:
    """The loss of several clips in shared rows, against each clip alone."""
    model = NextUnit(test_next_unit.CONFIG, seed=3)
    some = test_next_unit.sequences()
    expected = torch.zeros(())
    for units_U in some:
        tokens = torch.tensor([[9, *units_U.tolist()]])
        expected = expected + model.lm(input_ids=tokens, labels=tokens).loss * len(units_U)
    return _difference(model(test_next_unit.batch(some, model)).loss_sum, expected) / float(expected), 1e-5


def _difference(mine: Tensor, other: Tensor) -> float:
    return float((mine - other).abs().max())


if __name__ == "__main__":
    main()
