"""`pretrain` from a public base, with the units of another run, and with those of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from allears.checkpoints.bases import declare_base
from allears.errors import ConfigError, TrainingError
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.pipelines.report.nodes import write_model_card
from allears.storage.files import read_json
from tests.pretrain_pipeline import NO_EVALUATION, NOT_TUNED, PROBE, run
from tests.pretraining import tiny
from tests.public import save_hubert, save_wav2vec2
from tests.support import make_shards


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(corpus="tiny", data=tmp_path_factory.mktemp("data"))
    make_shards(paths.shards, clips=60)
    return paths


def test_a_public_base_is_continued_and_disclosed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save_hubert(paths.data / "public")
    declare_base(paths.data, "acme", paths.data / "public", "MIT", "ACME, trained on audiobooks")
    settings: dict[str, Any] = {"objective": "masked_units", "init_from": "acme", "updates": 3, "frozen_blocks": 1}
    params = tiny(**settings, probe=PROBE)
    data = run(paths, params)
    assert "warning: The weights continue acme; what that was trained on is unknown" in capfd.readouterr().out
    folder = Path(data["encoder"]["folder"])
    provenance = read_json(folder / "provenance.json")
    assert provenance["base"]["licence"] == "MIT"
    assert provenance["base"]["origin"] == "ACME, trained on audiobooks"
    assert read_json(folder / "config.json")["model_type"] == "hubert"
    card = (folder / "README.md").read_text()
    page = write_model_card(data["pretrained"], data["encoder"], data["probe"], NO_EVALUATION, NOT_TUNED, paths)
    for text in (card, page):
        assert "acme, MIT" in text
        assert "what that was trained on is unknown" in text
    assert "no public weights are in it" not in page
    whole = tiny(objective="masked_units", updates=2, extend=data["pretrained"]["run"], probe=PROBE)
    with pytest.raises(TrainingError, match=r"pretrain\.init_from and pretrain\.frozen_blocks must be the same"):
        run(paths, whole, until="encoder")
    forbidden = AuditParams.model_validate({"licences": {"deny": ["MIT"]}})  # since it was declared
    with pytest.raises(ConfigError, match="licence MIT is on the list of those that may not be used"):
        run(paths, params, until="encoder", audit=forbidden)
    slower = tiny(**settings, extend=data["pretrained"]["run"], optimiser={"layer_decay": 0.5})
    with pytest.raises(TrainingError, match=r"pretrain\.optimiser\.layer_decay must be the same"):
        run(paths, slower, until="encoder")
    more = run(paths, params.model_copy(update={"updates": 2, "extend": data["pretrained"]["run"]}), until="encoder")
    assert more["pretrained"]["updates"] == 5
    assert read_json(Path(more["encoder"]["folder"]) / "provenance.json")["base"]["name"] == "acme"
    with pytest.raises(ConfigError, match="best_rq, which quantizes features"):
        run(paths, tiny(init_from="acme"), until="encoder")
    with pytest.raises(ConfigError, match="base 'acme' has 2 blocks"):
        run(paths, tiny(objective="masked_units", init_from="acme", frozen_blocks=3), until="encoder")


def test_masked_units_goes_on_with_the_units_of_its_run_and_another_run_learns_those_of_a_layer(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Continued on other clips with the same unit model; then HuBERT's second iteration, on a layer of the run."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings: dict[str, Any] = {"objective": "masked_units", "updates": 3}
    first = run(paths, tiny(**settings), until="encoder")
    name = first["pretrained"]["run"]
    clips = pd.read_parquet(paths.shards / "clips.parquet")
    try:
        fewer = clips.assign(keep=clips["keep"] & (clips["speaker"] != "speaker-0"))
        fewer.to_parquet(paths.shards / "clips.parquet")
        more = run(paths, tiny(**settings, extend=name, from_epoch=1), until="encoder")
    finally:
        clips.to_parquet(paths.shards / "clips.parquet")
    assert more["targets"]["digest"] != first["targets"]["digest"]
    assert more["targets"]["centres"] == first["targets"]["centres"]
    assert more["pretrained"]["updates"] == 6

    second = run(paths, tiny(**settings, units_from=f"{name[:8]}:1"), until="encoder")
    assert second["targets"]["centres"] != first["targets"]["centres"]
    folder = Path(second["encoder"]["folder"])
    provenance = read_json(folder / "provenance.json")
    assert provenance["units"] == {
        "source": f"layer 1 of run {name}",
        "centres": second["targets"]["centres"],
        "base": None,
    }
    assert load_file(folder / "units.safetensors")["centres_VC"].shape == (8, 16)
    assert f"on layer 1 of run {name}" in (folder / "README.md").read_text()
    assert load_file(Path(first["encoder"]["folder"]) / "units.safetensors")["centres_VC"].shape == (8, 39)

    (Path(first["targets"]["folder"]) / "units.npy").unlink()  # it is fitted again, and the same
    again = run(paths, tiny(**settings), until="encoder")
    assert again["targets"] == first["targets"]
    with pytest.raises(
        TrainingError, match=f"its units are of MFCCs, and those of this run would be of layer 1 of run {name}"
    ):
        run(paths, tiny(**settings, extend=name, units_from=f"{name}:1"), until="encoder")

    save_wav2vec2(paths.data / "waves")
    declare_base(paths.data, "waves", paths.data / "waves", "MIT", "WAVES, trained on the sea")
    waves = {"waveform": {"channels": 8, "width": 16, "blocks": 1, "heads": 2, "ffn_width": 16, "position_groups": 2}}
    of_waves = tiny(**settings, units_from="waves:2", encoder="waveform", encoders=waves)
    with pytest.raises(ConfigError, match="licence MIT is on the list of those that may not be used"):
        run(paths, of_waves, until="encoder", audit=AuditParams.model_validate({"licences": {"deny": ["MIT"]}}))
    third = run(paths, of_waves, until="encoder")
    card = (Path(third["encoder"]["folder"]) / "README.md").read_text()
    assert "| base of the units | waves, MIT" in card
    assert "The units are of waves; what that was trained on is unknown" in card

    faster = {"conformer": {"log_mel": {"stack": 2}, "width": 16, "blocks": 2, "heads": 2, "ffn_width": 32}}
    for wrong, words in (
        ({"units_from": f"{name}:3"}, "that encoder has 2 blocks"),
        ({"units_from": "zzz:1"}, "no runs of corpus 'tiny' with an encoder begin so"),
        ({"units_from": f"{name}:1", "encoders": faster}, "whose units last 40 ms"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(paths, tiny(**settings, **wrong), until="encoder")


def test_a_language_model_of_units_is_judged_and_its_export_joins_in_plain_transformers(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    name = run(paths, tiny(updates=2), until="encoder")["pretrained"]["run"]
    small = {"units": 8, "width": 16, "blocks": 1, "heads": 2, "ffn_width": 16, "remove_repeats": False}
    settings: dict[str, Any] = {"objective": "next_unit", "objectives": {"next_unit": small}, "updates": 4}
    data = run(paths, tiny(**settings))
    scores = data["unit_scores"].set_index("language")
    dev = pd.read_parquet(paths.shards / "clips.parquet").query("split == 'dev'")
    assert scores.loc["all", "clips"] == len(dev)
    assert 1 < scores.loc["all", "perplexity"] < 20
    assert "Next unit on dev speakers" in capfd.readouterr().out
    assert data["encoder"]["modules"] == ["lm"]

    layered = run(paths, tiny(**settings, units_from=f"{name}:1"), until="encoder")
    folder = Path(layered["encoder"]["folder"])
    assert layered["encoder"]["modules"] == ["lm", "unit_encoder"]
    audio = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    names: dict[str, Any] = {"folder": folder, "audio": audio}
    exec((folder / "README.md").read_text().split("```python\n")[1].split("```")[0], names)  # noqa: S102
    assert names["units"].shape == (25,)
    assert names["continued"].count("<u") >= 25
    with pytest.raises(ConfigError, match="trains no encoder"):
        run(paths, tiny(**settings, init_from="acme"), until="pretrain_plan")
