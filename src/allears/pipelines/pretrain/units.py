"""Where the units of a pretraining come from: MFCCs, a layer of an encoder, or the run that is extended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allears.audit.licences import check_weights
from allears.checkpoints.bases import base_before, declared_bases, disclosed, find_base, trained_on_unknown
from allears.checkpoints.known import CONFIG, WEIGHTS
from allears.errors import ConfigError, TrainingError
from allears.params.audit import LicenceParams
from allears.params.base import Base, Paths
from allears.params.model import ConformerConfig
from allears.params.pretrain import PretrainParams
from allears.params.spec_pretrain import PretrainSpec, UnitSource
from allears.process.say import say
from allears.shards.handle import ShardSet
from allears.storage.digest import file_digest, value_digest

if TYPE_CHECKING:
    from torch import nn

    from allears.checkpoints.export import UnitModel


def find_source(params: PretrainParams, shards: ShardSet, paths: Paths) -> UnitSource:
    """Return what `pretrain.units_from` names. ConfigError for a run or layer that there is not, or frames of another
    length; StaleError for an encoder that was trained on speakers of dev or test.
    """
    if params.units_from is None:
        return UnitSource()
    from allears.checkpoints.export import read_config
    from allears.checkpoints.heard import check_unheard

    name, _, number = params.units_from.rpartition(":")
    folder, base = _encoder(name, paths)
    config, layer = read_config(folder / CONFIG), int(number)
    if layer > config.blocks:
        raise ConfigError(
            f"pretrain.units_from is '{params.units_from}', but that encoder has {config.blocks} blocks: layers are 0 "
            f"(the input of the first) to {config.blocks}"
        )
    mine = params.chosen_encoder
    if config.hop_samples != mine.hop_samples:
        raise ConfigError(
            f"pretrain.units_from is '{params.units_from}', whose units last {1e3 / config.frame_rate_hz:g} ms, and a "
            f"frame of pretrain.encoder={params.encoder} lasts {1e3 / mine.frame_rate_hz:g} ms; they must be equal: "
            "take units of an encoder with the same frames, or train such an encoder"
        )
    cure = "Take units of an encoder that was not trained on them, or of MFCCs (pretrain.units_from=null)"
    check_unheard(folder, paths.corpus, paths.clips, shards, ("dev", "test"), cure)
    record = disclosed(base) if base else base_before(folder)
    words = f"layer {layer} of {f'base {base.name}' if base else f'run {folder.name}'}"
    digest = value_digest([file_digest(folder / name) for name in (CONFIG, WEIGHTS)])
    return UnitSource(folder=folder, layer=layer, digest=digest, words=words, base=record)


def check_source(source: UnitSource, lists: LicenceParams) -> None:
    """Raise ConfigError when the licence of the base that the units are of is not allowed; print what is unknown."""
    if source.base is None:
        return
    check_weights(source.base["licence"], lists)
    if sentence := trained_on_unknown(source.base, "The units are of"):
        say(f"warning: {sentence} Origin: {source.base['origin']}")


def extended_source(source: UnitSource, before: PretrainSpec, handle: Mapping[str, Any]) -> UnitSource:
    """Return the source with the centres of the run that is extended, unless its labels are those of `handle` anyway.

    ConfigError when its unit model is gone, TrainingError when its units are of something else.
    """
    if before.targets.get("features") != handle["features"]:
        raise TrainingError(
            f"run {before.folder.name} cannot be extended: its units are of {before.targets.get('source')}, and those "
            f"of this run would be of {handle['source']}; set pretrain.units_from (and the files behind it) back, or "
            "start a new run without pretrain.extend"
        )
    if before.targets.get("digest") == handle["digest"]:
        return source
    from allears.training.label import MODEL_FILE

    centres = Path(before.targets["folder"]) / MODEL_FILE
    if not centres.exists():
        raise ConfigError(
            f"the units of run {before.folder.name} cannot be given to other clips: its unit model {centres} is gone. "
            "Put it back, or start a new run, without pretrain.extend"
        )
    return source.model_copy(update={"centres": centres})


def read_model(targets: Mapping[str, Any]) -> UnitModel | None:
    """Return the unit model of a run's targets, for its export; None where it has no units."""
    if "centres" not in targets:
        return None
    import numpy as np
    import torch

    from allears.checkpoints.export import UnitModel
    from allears.training.label import MODEL_FILE

    centres_VC = np.load(Path(targets["folder"]) / MODEL_FILE, allow_pickle=False)
    return UnitModel(torch.from_numpy(centres_VC), str(targets["source"]))


def joined_encoder(targets: Mapping[str, Any], params: PretrainParams) -> dict[str, nn.Module]:
    """Return the encoder that the units of a language model are of, for its export; none for units of MFCCs."""
    if params.chosen.has_encoder or "encoder" not in targets:
        return {}
    from allears.checkpoints.export import load_export

    return {"unit_encoder": load_export(Path(targets["encoder"]))}


def how_to_join(targets: Mapping[str, Any], params: PretrainParams) -> str:
    """Return the card's section on a language model of units: from audio to units to their continuation."""
    if params.chosen.has_encoder:
        return ""
    if "encoder" not in targets:
        return (
            "\n`lm` is a `LlamaForCausalLM` with its tokenizer over `<u0>`, `<u1>` …; its units are the nearest "
            "centres of MFCCs (`allears.training.label.unit_features` and `assign`).\n"
        )
    from allears.checkpoints.export import read_config

    config = read_config(Path(targets["encoder"]) / CONFIG)
    more = f", pad_to_multiple_of={config.log_mel.stack}" if isinstance(config, ConformerConfig) else ""
    repeats = "torch.unique_consecutive(units)" if getattr(params.chosen, "remove_repeats", False) else "units"
    return f"""
## From audio to units and on

```python
import torch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoTokenizer

extractor = AutoFeatureExtractor.from_pretrained(f"{{folder}}/unit_encoder")
encoder = AutoModel.from_pretrained(f"{{folder}}/unit_encoder").eval()
lm, tokenizer = AutoModelForCausalLM.from_pretrained(f"{{folder}}/lm"), AutoTokenizer.from_pretrained(f"{{folder}}/lm")
centres = load_file(f"{{folder}}/units.safetensors")["centres_VC"]
# audio: float32 in [-1, 1], mono, {config.sample_rate_hz} Hz, one clip
inputs = extractor(audio, sampling_rate={config.sample_rate_hz}{more}, return_tensors="pt")
with torch.no_grad():
    frames = encoder(**inputs, output_hidden_states=True).hidden_states[{targets["layer"]}][0]
units = torch.cdist(frames, centres).argmin(-1)
text = "".join(f"<u{{unit}}>" for unit in {repeats}.tolist())
tokens = tokenizer(text, return_tensors="pt").input_ids
continued = tokenizer.decode(lm.generate(tokens, do_sample=True, max_new_tokens=20)[0])
```
"""


def _encoder(name: str, paths: Paths) -> tuple[Path, Base | None]:
    """Return the folder of a run's export, by the start of its name, or of a base."""
    runs = sorted(file.parent for file in (paths.models / "encoder").glob(f"*/{WEIGHTS}"))
    found = [folder for folder in runs if folder.name.startswith(name)]
    bases = [base.name for base in declared_bases(paths.data)]
    if name in bases:
        base = find_base(paths.data, name, "pretrain.units_from")
        return base.folder, base
    if len(found) != 1:
        raise ConfigError(
            f"pretrain.units_from names '{name}', and {len(found) or 'no'} runs of corpus '{paths.corpus}' with an "
            f"encoder begin so (runs: {', '.join(folder.name for folder in runs) or 'none'}; bases: "
            f"{', '.join(bases) or 'none'})"
        )
    return found[0], None
