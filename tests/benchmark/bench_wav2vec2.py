"""One step of `wav2vec2` (forward, backward) against `Wav2Vec2ForPreTraining` of transformers.

Run `python tests/benchmark/bench_wav2vec2.py`. Both have the same weights, sizes, clips, masks, negatives and threads,
and take turns, in the environment of a training; the ratio is the median over the rounds. `embedded` is the encoder of
conf/base, `base` the published size. Where clips differ in length, ours keeps the group norm to each clip's own
samples, which transformers does not do.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import torch
import transformers
import yaml
from transformers import Wav2Vec2Config as TheirConfig
from transformers import Wav2Vec2ForPreTraining

from allears.models.build import build_encoder
from allears.models.waveform.interop import config_to_transformers, to_transformers
from allears.models.waveform.model import WaveformEncoder
from allears.objectives.wav2vec2 import Wav2Vec2
from allears.params.model import WaveformConfig
from allears.params.pretrain import PretrainParams
from allears.process.launch import tuning
from allears.types import Batch, Padded

ROUNDS = 7
BASE = WaveformConfig(
    channels=512, width=768, blocks=12, heads=12, ffn_width=3072, extractor_norm="group", norm_first=False,
    position_kernel=128,
)  # fmt: skip
CLIPS_S = (4.0, 3.5, 2.5)  # 10 s of audio


def main() -> None:
    """Print the table."""
    values = yaml.safe_load((ROOT / "conf/base/parameters_pretrain.yml").read_text())["pretrain"]
    params = PretrainParams.model_validate(values | {"objective": "wav2vec2", "encoder": "waveform"})
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{'size':12}{'M weights':>10}{'clips':>22}{'ours ms':>10}{'theirs ms':>11}{'times as fast':>15}")
    for name, config, clips in (
        ("embedded", params.chosen_encoder, CLIPS_S), ("embedded", params.chosen_encoder, (4.0,) * 3),
        ("base", BASE, CLIPS_S[:2]), ("base", BASE, (4.0,)),
    ):  # fmt: skip
        compare(name, config, params.objectives["wav2vec2"], clips)


def compare(name: str, config: Any, objective: Any, clips_s: tuple[float, ...]) -> None:
    """Print one row."""
    ours = Wav2Vec2(objective, build_encoder(config, 0), seed=0)
    encoder = ours.encoder
    assert isinstance(encoder, WaveformEncoder)
    theirs = Wav2Vec2ForPreTraining(their_config(config, objective))
    theirs.wav2vec2.load_state_dict(to_transformers(encoder.state_dict(), config))
    samples = torch.tensor([int(16000 * seconds) for seconds in clips_s])
    audio = 0.1 * torch.randn(len(clips_s), int(samples.max()))
    keys = tuple(str(row) for row in range(len(clips_s)))
    batch = Batch(
        keys=keys, starts=(0,) * len(keys), before=(0,) * len(keys), epoch=0, step=0,
        audio=Padded(audio, samples, full=len(set(clips_s)) == 1),
    )  # fmt: skip
    batch.prepared.update(ours.prepare(batch))
    ready = batch.prepared
    negatives = torch.zeros(ready["mask_BF"].numel(), objective.negatives, dtype=torch.int64)
    negatives[ready["hidden_M"]] = ready["hidden_M"][ready["negatives_MJ"]]
    their_inputs = {
        "input_values": encoder.features(batch.audio).data,
        "attention_mask": None if batch.audio.full else (torch.arange(audio.shape[1]) < samples[:, None]).long(),
        "mask_time_indices": ready["mask_BF"],
        "sampled_negative_indices": negatives.view(*ready["mask_BF"].shape, -1),
    }
    mine, other = [], []
    for number in range(ROUNDS + 1):
        turns = [(mine, lambda: ours(batch).loss_sum, ours), (other, lambda: theirs(**their_inputs).loss, theirs)]
        for times, loss, model in turns if number % 2 else turns[::-1]:
            began = time.perf_counter()
            loss().backward()
            times.append(time.perf_counter() - began)
            model.zero_grad(set_to_none=True)
    ratio = statistics.median(b / a for a, b in zip(mine[1:], other[1:], strict=True))
    weights = sum(each.numel() for each in ours.parameters()) / 1e6
    shown = "+".join(f"{seconds:g}" for seconds in clips_s) + " s"
    print(
        f"{name:12}{weights:10.1f}{shown:>22}{1e3 * statistics.median(mine[1:]):10.0f}"
        f"{1e3 * statistics.median(other[1:]):11.0f}{ratio:15.2f}", flush=True,
    )  # fmt: skip


def their_config(config: WaveformConfig, objective: Any) -> TheirConfig:
    """The same sizes for transformers; no dropout anywhere, as in ours."""
    return TheirConfig(
        **config_to_transformers(config), num_codevectors_per_group=objective.codes,
        num_codevector_groups=objective.codebooks, codevector_dim=objective.code_width,
        proj_codevector_dim=objective.final_width, num_negatives=objective.negatives, feat_quantizer_dropout=0.0,
    )  # fmt: skip


if __name__ == "__main__":
    if wanting := tuning().keys() - os.environ.keys():  # libraries read them when they load
        around = os.environ | {name: tuning()[name] for name in wanting}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=around, check=False).returncode)
    main()
