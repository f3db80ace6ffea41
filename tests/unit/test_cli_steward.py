"""What `trace`, `diff` and `withdraw` say: words of a corpus as they are, and what has heard a clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from allears.audio.decode import decode
from allears.audit.clip import pcm_digest
from allears.checkpoints.heard import Heard, save_heard
from allears.cli.app import app
from allears.cli.told import show_done, show_plan
from allears.cli.traced import trace_clip
from allears.cli.withdrawal import prepare
from allears.corpus import versions
from allears.corpus.build import write_manifest
from allears.corpus.deliveries import seconds_of
from allears.corpus.settings import NAME
from allears.corpus.withdrawal import Withdrawal
from allears.params.base import Paths
from allears.params.corpus import CorpusSettings, SourceSettings
from allears.reporting.terminal import LOG_WIDTH
from allears.shards.index import read_index
from allears.shards.writer import write_shards
from allears.storage.files import write_json
from allears.storage.tables import write_parquet
from tests.audit_tables import manifest
from tests.unit.shards.recordings import make_recordings

ODD = "text [laughter] hello [/music] :smile: [bold red]end"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A project with a corpus `mine` that is known and has no version yet."""
    monkeypatch.chdir(tmp_path)
    paths = Paths(corpus="mine")
    source = SourceSettings(name="s", path="/r", layout="plain", licence="CC0-1.0")
    write_json(paths.raw / NAME, CorpusSettings(corpus="mine", sources=(source,)).model_dump(mode="json"))
    return paths


def save(paths: Paths, table: pd.DataFrame) -> versions.Version:
    """The next version, as the ingest node leaves it."""
    before = versions.current(paths) if (paths.intermediate / "manifest.json").exists() else None
    parent = before.digest if before else None
    made = write_manifest(table, paths.intermediate / "manifest", seconds_of(table), parent)
    changes = versions.changes_between(versions.rows_of(paths, before) if before else None, table).counts()
    version = versions.record(paths, made, table, changes, {})
    write_json(paths.intermediate / "manifest.json", made.to_json())
    return version


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_trace_and_diff_show_words_in_brackets(paths: Paths) -> None:
    odd = {"path": "interview [final].wav", "member": "a[0].wav", "text": ODD}
    save(paths, manifest([odd, {}]))
    shown = said("trace", "c0")
    assert ODD in shown
    assert "/r/interview [final].wav, a[0].wav in it" in shown
    save(paths, manifest([odd, {"speaker": ODD}]))
    assert ODD in said("diff", "mine")


def test_trace_and_diff_say_which_rules_are_set_aside(paths: Paths) -> None:
    table = manifest([{}] * 3)
    judged = {"clip": table["clip"], "verdict": ["keep", "keep", "soft"], "duplicate_of": None}
    judged |= {"reasons": ["", "", "clipped"], "set_aside": ["loud_pauses", "", "loud_pauses,hum"]}
    verdicts = pd.DataFrame(judged)
    before = verdicts.assign(verdict="soft", reasons="loud_pauses", set_aside="")
    versions.keep_verdicts(paths, save(paths, table).digest, before)
    versions.keep_verdicts(paths, save(paths, table.assign(text="bye")).digest, verdicts)
    write_parquet(paths.primary / "verdicts.parquet", verdicts)
    assert "keep; set aside: loud_pauses" in said("trace", "c0")
    assert "set aside" not in said("trace", "c1")
    assert "soft: clipped; set aside: loud_pauses, hum" in said("trace", "c2")
    assert "soft keep 2 set aside: loud_pauses 1" in said("diff", "mine")


def test_withdraw_shows_names_in_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rec [final]"
    folder.mkdir()
    (folder / "a[b].wav").touch()
    model = {"kind": "encoder", "corpus": "mine", "clips": 1, "folder": "[m]"}
    found = Withdrawal(
        corpus="mine", clips=("c0",), files=((str(folder), "a[b].wav", "in[it]"),), groups=(ODD,), seconds=1.0,
        tombstones=(), lines=(), versions={}, uid="", heard=(model,), hints=(ODD,),
    )  # fmt: skip
    show_plan(found)
    show_done(found)
    printed = " ".join(capsys.readouterr().out.split())
    assert len(ODD) < LOG_WIDTH // 2, "it is not wrapped"
    assert f"{ODD} would be gone" in printed
    assert f"Mind {ODD}." in printed
    assert f"{folder}/a[b].wav (in[it])" in printed
    assert "1 [m]" in printed


def test_a_change_that_is_undone_is_a_difference(paths: Paths) -> None:
    table = manifest([{}, {}])
    save(paths, table)
    save(paths, table.assign(text=pd.array(["hello", "corrected"], "string")))
    for changed in ("corrected", "hello"):
        save(paths, table.assign(text=pd.array(["hello", changed], "string")))
        found = json.loads(said("diff", "mine", "--json"))
        assert [row["clip"] for row in found["clips"]["corrected"]] == ["c1"]


def in_split(paths: Paths, table: pd.DataFrame, split: str) -> str:
    """A version of the corpus whose clips are all in `split`, in shards; digest of these."""
    version = save(paths, table.assign(split=pd.array([split] * len(table), "string")))
    how: dict[str, Any] = {"sample_rate_hz": 16_000, "target_mb": 256.0, "min_shards": 3, "timeout_s": 60.0}
    shards = paths.shards.absolute() / "shards"
    made, _ = write_shards(table, seconds_of(table), set(), shards, "mine", **how, workers=1)
    write_json(paths.shards / "shards.json", made.to_json())
    versions.note_shards(paths, version.digest, made.digest)
    index = read_index(made)
    export, run = paths.models / "encoder/feed", paths.models / "runs/0bad"
    export.mkdir(parents=True, exist_ok=True)
    save_heard(export, Heard.of("mine", ["g"], [index.pcm_sha256[0]]))
    write_json(run / "spec.json", {"shard_set": made.to_json()})  # it left no export
    return index.clips[0]


@pytest.mark.parametrize(("was", "now"), [("train", "train"), ("train", "test"), ("test", "test")])
def test_what_has_heard_a_clip_is_told_whatever_its_split_is_now(
    paths: Paths, tmp_path: Path, was: str, now: str
) -> None:
    table = make_recordings(tmp_path / "rec", files=2)
    in_split(paths, table, was)
    clip = in_split(paths, table, now)
    heard = [(one["kind"], one["clips"]) for one in trace_clip(paths, clip)["trained"]]
    perhaps = [("pretraining", None)] if was == "train" else []  # its shards were none to train on this clip
    assert heard == [("encoder", 1), *perhaps]
    assert ("proves nothing" in said("trace", clip)) == (now == "test")


def in_flac(file: Path, channel: int | None = None) -> str:
    """Digest of what a recording decodes to when somebody has made a FLAC of it."""
    samples, rate_hz = soundfile.read(file, dtype="int16", always_2d=True)
    copy = file.with_suffix(".flac")
    soundfile.write(copy, samples if channel is None else samples[:, channel], rate_hz)
    return pcm_digest(*decode(copy))


def test_a_tombstone_knows_the_audio_of_what_no_audit_has_decoded(paths: Paths, tmp_path: Path) -> None:
    table = make_recordings(tmp_path / "rec", files=2)
    save(paths, table)
    whole = prepare(paths, "file", "f001.wav", None, "").tombstones
    assert [one["pcm_sha256"] for one in whole] == [in_flac(tmp_path / "rec" / "f001.wav")]
    side = prepare(paths, "file", "stereo.wav", None, "").tombstones
    assert [one["pcm_sha256"] for one in side] == [in_flac(tmp_path / "rec" / "stereo.wav", channel=1)]
    pieces = prepare(paths, "file", "long.wav", None, "").tombstones
    assert len({one["pcm_sha256"] for one in pieces} - {None}) == 4
    assert not list(paths.intermediate.glob(".*")), "nothing is left of the work"


def test_a_tombstone_knows_the_audio_of_a_file_that_was_changed_after_the_audit(paths: Paths, tmp_path: Path) -> None:
    table = make_recordings(tmp_path / "rec", files=2)
    audited = save(paths, table)
    clip = table.loc[table["path"] == "f001.wav", "clip"].item()
    write_parquet(paths.primary / "measures.parquet", pd.DataFrame({"clip": [clip], "pcm_sha256": ["of the audit"]}))
    verdicts = pd.DataFrame({"clip": table["clip"], "verdict": "keep", "reasons": "", "set_aside": ""})
    versions.keep_verdicts(paths, audited.digest, verdicts)
    assert [one["pcm_sha256"] for one in prepare(paths, "clip", clip, None, "").tombstones] == ["of the audit"]
    save(paths, make_recordings(tmp_path / "rec", files=2, seed=1))
    now = {one["pcm_sha256"] for one in prepare(paths, "clip", clip, None, "").tombstones}
    assert in_flac(tmp_path / "rec" / "f001.wav") in now


def test_who_withdraws_is_told_of_what_cannot_be_decoded(paths: Paths, tmp_path: Path) -> None:
    table = make_recordings(tmp_path / "rec", files=2)
    save(paths, table)
    (tmp_path / "rec" / "f001.wav").unlink()
    found = prepare(paths, "file", "f001.wav", None, "")
    assert [one["pcm_sha256"] for one in found.tombstones] == [None]
    [hint] = found.hints
    assert found.clips[0] in hint
    assert "cannot be decoded now" in hint
    assert prepare(paths, "file", "f000.wav", None, "").hints == ()
