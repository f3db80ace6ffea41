"""`allears shards` on a project that was really run: look, damage, repair, merge, export, withdraw."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
from click.testing import CliRunner, Result

from allears.cli.app import app
from allears.shards.export.places import MARKER
from allears.shards.sidecar import Sidecar
from tests import stewardship as steward
from tests.leftovers import leftovers
from tests.project import kedro

SHARDS = Path("data/05_model_input/mine")
LABELS = Path("data/04_feature/mine/units/0123")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steward.make_steward_project(tmp_path_factory.mktemp("steward"))


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as its first run left it."""
    kept = made / "kept"
    if kept.exists():
        shutil.rmtree(made / "data")
        shutil.copytree(kept, made / "data")
    else:
        shutil.copytree(made / "data", kept)
    monkeypatch.chdir(made)
    return made


def shards(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["shards", *arguments])


def said(*arguments: str) -> str:
    done = shards(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_what_is_there_is_shown(project: Path, tmp_path: Path) -> None:
    index = steward.index_of(project)
    listed = json.loads(said("ls", "mine", "--json"))
    assert [one["shard"] for one in listed["tars"]] == list(index.shards)
    assert sum(one["clips"] for one in listed["tars"]) == listed["clips"] == len(index.clips) == 12
    assert sum(one["hours"] for one in listed["tars"]) == pytest.approx(12 * 0.9 / 3600, rel=1e-6)
    assert sum(one["megabytes"] for one in listed["tars"]) == sum(map(len, steward.tars(project).values())) / 1e6
    shown = said("ls", "mine")
    assert listed["digest"][:12] in shown
    assert "in all" in shown
    assert "All 12 clips" in said("verify", "mine")

    clip, place = index.clips[7], 7
    facts = json.loads(said("cat", "mine", clip, "--json"))
    row = steward.table(project, "05_model_input/mine/clips.parquet").set_index("clip").loc[clip]
    assert (facts["text"], facts["speaker"], facts["split"]) == (row["text"], row["speaker"], row["split"])
    assert (facts["offset"], facts["sha256"]) == (index.offset_N[place], index.sha256[place])
    assert row["text"] in said("cat", "mine", clip, "--out", str(tmp_path / "clip.flac"))
    assert hashlib.sha256((tmp_path / "clip.flac").read_bytes()).hexdigest() == index.sha256[place]
    piped = shards("cat", "mine", clip, "--out", "-")
    assert piped.stdout_bytes == (tmp_path / "clip.flac").read_bytes()
    wrong = shards("cat", "mine", clip[:-1])
    assert (wrong.exit_code, f"did you mean '{clip}'?" in wrong.output) == (1, True)


def test_without_shards_the_command_to_type_is_said(project: Path) -> None:
    (SHARDS / "shards.json").unlink()
    for command in (("ls",), ("verify",), ("repack",), ("export", "--to", "hf")):
        done = shards(*command, "mine")
        assert done.exit_code == 1
        assert "kedro run --pipeline shard --params corpus=mine" in done.output
    assert "yours" in shards("ls", "yours").output


def test_damage_is_named_and_mended_also_in_merged_tars(project: Path) -> None:
    """One story: tars are merged, then damaged, deleted, and written again by the pipeline with the same bytes."""
    index, before = steward.index_of(project), steward.tars(project)
    clips = (SHARDS / "clips.parquet").read_bytes()
    assert f"{len(before)} tars would become" in said("repack", "mine", "--min-shards", "3", "--dry-run")
    assert steward.tars(project) == before
    assert f"{len(before)} tars are now" in said("repack", "mine", "--min-shards", "3")
    merged, now = steward.tars(project), steward.index_of(project)
    assert 3 <= len(merged) < len(before)
    assert (now.clips, now.sha256) == (index.clips, index.sha256)
    assert "nothing to merge" in said("repack", "mine", "--min-shards", "3")
    assert "All 12 clips" in said("verify", "mine")
    sidecar = Sidecar(LABELS, "digest", now)
    assert all(sidecar.get(clip).tolist() == list(range(5)) for clip in now.clips)
    assert {path.name.split(".")[0] + ".tar" for path in LABELS.glob("*.arrow")} == set(merged)

    flipped, cut, lost = (SHARDS / "shards" / name for name in sorted(merged)[:3])
    victim = now.places_of(0)[1]
    at = int(now.offset_N[victim]) + 99
    data = bytearray(flipped.read_bytes())
    data[at] ^= 16
    flipped.write_bytes(data)
    os.truncate(cut, int(now.offset_N[now.places_of(1)[-1]]))
    lost.unlink()
    found = shards("verify", "mine")
    assert found.exit_code == 1
    assert f"{flipped.name}, clip {now.clips[victim]}, offset {now.offset_N[victim]}: " in found.output
    assert f"{cut.name}, clip {now.clips[now.places_of(1)[-1]]}, offset {now.offset_N[now.places_of(1)[-1]]}: " in (
        found.output
    )
    assert f"{lost.name}, clip {now.clips[now.places_of(2)[0]]}, offset 512: the tar is missing" in found.output
    assert f"Delete {flipped.name}, {cut.name}, {lost.name}" in found.output
    assert "missing" in said("ls", "mine")

    flipped.unlink()  # as it says; what is cut is seen by the pipeline itself
    done = kedro(project, "run", "--pipeline", "shard", "--params", "corpus=mine,shard.min_shards=3")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "3 tars written now" in done.stdout + done.stderr
    assert "All 12 clips" in said("verify", "mine")
    assert steward.tars(project) == merged
    assert (SHARDS / "clips.parquet").read_bytes() == clips


def test_exports_are_read_back_and_go_with_a_withdrawal(project: Path, tmp_path: Path) -> None:
    table = steward.table(project, "05_model_input/mine/clips.parquet")
    kept = set(table.loc[table["keep"], "clip"])
    shown = said("export", "mine", "--to", "hf")
    folder = SHARDS.absolute() / "exports" / "hf"
    assert f'datasets.load_dataset("parquet", data_dir="{folder}")' in shown
    found = datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert {clip for part in found.values() for clip in part["clip"]} == kept
    for to in ("lhotse", "nemo"):
        assert f"{len(kept)} clips" in said("export", "mine", "--to", to, "--out", str(tmp_path / to)).replace(",", "")
        assert (tmp_path / to / MARKER).exists()
    refused = shards("export", "mine", "--to", "hf", "--out", str(tmp_path / "nemo"))
    assert refused.exit_code == 1
    assert "name an empty or a new folder" in refused.output

    said("repack", "mine", "--min-shards", "2")
    speaker = str(table["speaker"].iloc[0])
    needles = steward.needles_of(project, speaker)
    done = CliRunner().invoke(app, ["withdraw", "mine", "--speaker", speaker, "--yes"])
    assert done.exit_code == 0, done.output
    assert f"the export for nemo in {tmp_path / 'nemo'}: it may hold the same audio" in done.output
    assert leftovers(project / "data", needles, but=["withdrawn.jsonl"]) == []
    assert "All 9 clips" in said("verify", "mine")
    index = steward.index_of(project)
    np.testing.assert_array_equal(Sidecar(LABELS, "digest", index).get(index.clips[-1]), np.arange(5))
    assert "are now" in said("repack", "mine", "--min-shards", "1")  # a withdrawal leaves the shards to be merged, too
    assert len(steward.tars(project)) == 1

    said("export", "mine", "--to", "hf")
    shutil.rmtree(SHARDS / "shards")  # whoever has no tars any more may have exports still
    left = str(steward.table(project, "05_model_input/mine/clips.parquet")["speaker"].iloc[0])
    done = CliRunner().invoke(app, ["withdraw", "mine", "--speaker", left, "--yes"])
    assert done.exit_code == 0, done.output
    assert not folder.exists()
