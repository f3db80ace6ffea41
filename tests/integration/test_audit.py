"""The audit as a pipeline, on small real recordings with defects in them."""

from __future__ import annotations

import copy
import hashlib
import html
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import yaml

from allears.audit.overrides import Decision, append
from allears.corpus.build import write_manifest
from allears.corpus.manifest import Manifest
from allears.errors import CorpusError
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.policy import Policies
from allears.pipelines.audit import create_pipeline
from tests.audit_tables import POLICIES, STANDARD, agree, manifest
from tests.real import REAL, needs_real

RATE = 16_000


def voice(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Gamma-distributed amplitudes that swell and fade: speech to every measure, without noise."""
    rng = np.random.default_rng(seed)
    count = int(RATE * seconds)
    swelling = np.interp(np.arange(count), np.linspace(0, count, 24), rng.uniform(0, 1, 24) ** 2)
    audio = 0.04 * swelling * rng.gamma(0.4, size=count) * rng.choice([-1, 1], size=count)
    return audio.clip(-0.9, 0.9)


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Manifest, Paths, dict[str, str]]:
    """A manifest of wav files, the folders, and what each file should be found to be."""
    root = tmp_path / "audio"
    root.mkdir()
    narrow = soxr.resample(voice(3), RATE, 6_000)
    sounds = {
        "good0": (voice(0), ""),
        "good1": (voice(1), ""),
        "copy0": (voice(0), "byte_duplicate"),
        "clipped": ((20 * voice(2)).clip(-1, 1), "clipped"),
        "silent": (1e-4 * voice(4), "silent"),
        "narrow": (soxr.resample(narrow, 6_000, RATE), "upsampled"),
        "cut": (voice(5), "truncated"),
        "denied": (voice(6), "licence_denied"),
        "leak": (voice(7), "speaker_leak"),
        "held": (voice(8), ""),
        "text": (None, "undecodable"),
    }
    rows: list[dict[str, Any]] = []
    for name, (audio, _) in sounds.items():
        path = root / f"{name}.wav"
        if audio is None:
            path.write_text("this is no audio\n" * 100)
        else:
            soundfile.write(path, audio, RATE, subtype="PCM_16")
        row = {"root": str(root), "path": path.name, "clip": name, "speaker": name}
        data = path.read_bytes()
        rows.append(row | {"file_sha256": hashlib.sha256(data).hexdigest(), "file_bytes": len(data)})
    by_name = {row["clip"]: row for row in rows}
    by_name["cut"] |= {"end_s": 3.0, "file_duration_s": 3.0}
    by_name["denied"]["licence"] = "CC-BY-NC-4.0"
    by_name["held"] |= {"split": "test", "speaker": "leak"}
    handle = write_manifest(manifest(rows), tmp_path / "manifest")
    return handle, Paths(corpus="tiny", data=tmp_path / "data"), {name: reason for name, (_, reason) in sounds.items()}


TONES = POLICIES.model_dump()
TONES["standard"]["no_speech"]["of"] = "none"  # the recordings here are no voices
POLICY = Policies.model_validate(TONES)
SHIPPED = {"policies": POLICIES.model_dump()}


def run(
    handle: Manifest, paths: Paths, params: AuditParams, policies: Policies = POLICY, data: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Each dataset of the audit by its name; `data` gets them also where a step raises."""
    pipeline = create_pipeline()
    data = {} if data is None else data
    data |= {"manifest": handle, "quarantine": pd.DataFrame({"reason": ["zero_byte"]})}
    data |= {"params:audit": params, "params:policies": policies, "params:paths": paths, "shipped_policies": SHIPPED}
    assert set(pipeline.inputs()) == set(data)
    for node in pipeline.nodes:
        data |= node.run({name: data[name] for name in node.inputs})  # in the order that Kedro's runner takes
    return data


def test_each_defect_is_found_and_everything_adds_up(corpus: tuple[Manifest, Paths, dict[str, str]]) -> None:
    handle, paths, expected = corpus
    paths.raw.mkdir(parents=True)
    planted = pd.DataFrame(
        [(f"{n}.wav", r, "") for n, r in expected.items() if r], columns=["path", "defect", "detail"]
    )
    pd.concat([planted, pd.DataFrame([{"path": "good1.wav", "defect": "swapped_text", "detail": ""}])]).to_csv(
        paths.raw / "truth.csv", index=False
    )
    out = run(handle, paths, AuditParams())
    verdicts = out["verdicts"].set_index("clip")
    for name, reason in expected.items():
        found = set(verdicts.loc[name, "reasons"].split(",")) - {""}
        assert (reason in found) if reason else not found, (name, found)
    assert out["selection"].set_index("clip")["keep"].to_dict() == {name: not r for name, r in expected.items()}
    assert out["audit_summary"]["total"]["clips"] == len(expected)
    scores = out["truth_scores"].set_index("defect")
    assert (scores.loc[scores["looked_for"], "recall"] == 1).all()
    assert not scores.loc["swapped_text", "looked_for"]
    page = out["audit_page"]
    assert "Can I train on this?" in page
    assert "not looked for" in page
    assert page.count("plotly.js v") == 1
    heard = out["exhibits"].set_index("clip")
    assert {reason for reason in expected.values() if reason} <= set(heard["group"])
    assert set(heard.index[heard["file"].isna()]) == {"text"}, "only what does not decode cannot be played"
    files = {path.name: path.stat().st_mtime_ns for path in (paths.reports / "audit_files").iterdir()}
    assert set(files) == {f"{name}{end}" for name in heard["file"].dropna() for end in (".mp3", ".webp")}
    assert all(f'src="audit_files/{name}"' in page for name in files)

    for file in Path(handle.frame(["root"])["root"].iloc[0]).iterdir():
        file.unlink()
    written = copy.deepcopy(TONES)
    written["standard"]["clipped"]["max"] = 1.0
    again = run(handle, paths, AuditParams(), Policies.model_validate(written))  # nothing to decode: reads the journal
    assert again["measures"].equals(out["measures"])
    assert again["verdicts"].set_index("clip").loc["clipped", "verdict"] != "soft"
    left = {path.name: path.stat().st_mtime_ns for path in (paths.reports / "audit_files").iterdir()}
    assert left.items() <= files.items(), "the sources are gone, so nothing was made again"
    assert again["exhibits"]["file"].notna().sum() > 10

    append(paths.raw / "overrides.csv", Decision(clip="silent", decision="keep", why="a pause that we need"))
    append(paths.raw / "overrides.csv", Decision(clip="good1", decision="drop", why="<i>names a patient"))
    decided = run(handle, paths, AuditParams())
    changed = decided["selection"].set_index("clip")["keep"] != out["selection"].set_index("clip")["keep"]
    assert sorted(changed.index[changed]) == ["good1", "silent"]
    assert decided["truth_scores"].equals(out["truth_scores"]), "a person's word changes no score of the audit"
    assert "a pause that we need" in decided["audit_page"]
    assert "&lt;i&gt;names a patient" in decided["audit_page"]


def test_a_rule_that_hits_the_corpus_is_set_aside_until_a_person_confirms_it(tmp_path: Path) -> None:
    """Six of sixteen voices are 20 dB softer than the others: a trait of how they were recorded."""
    rows: list[dict[str, Any]] = []
    for i in range(16):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, voice(i, 1.0) * (0.1 if i < 6 else 1.0), RATE, subtype="PCM_16")
        data = path.read_bytes()
        row = {"root": str(tmp_path), "path": path.name, "clip": f"c{i:02d}", "end_s": 1.0, "file_duration_s": 1.0}
        rows.append(row | {"file_sha256": hashlib.sha256(data).hexdigest(), "file_bytes": len(data)})
    handle, paths = write_manifest(manifest(rows), tmp_path / "manifest"), Paths(corpus="tiny", data=tmp_path / "data")
    quiet = Policies.model_validate({"standard": {"quiet": {"measure": "rms_dbfs", "min": -48.0}}})
    out = run(handle, paths, AuditParams(), quiet)
    assert out["verdicts"]["verdict"].eq("keep").all()
    assert out["verdicts"]["set_aside"].eq("quiet").tolist() == [i < 6 for i in range(16)]
    assert out["selection"]["keep"].all()
    facts = out["audit_summary"]["set_aside"]["quiet"]
    assert (facts["clips"], facts["judged"], len(facts["examples"])) == (6, 16, 3)
    heard = out["exhibits"][out["exhibits"]["place"] == "set aside"]
    assert heard.sort_values("rank")["clip"].tolist() == facts["examples"]
    for name in heard["file"]:
        assert (paths.reports / "audit_files" / f"{name}.mp3").exists()
        assert f'src="audit_files/{name}.mp3"' in out["audit_page"]
    assert f"standard, {len(STANDARD.root) + 1} rules changed" in out["audit_page"]

    confirmed = run(handle, paths, AuditParams(confirm=("quiet",)), quiet)
    assert confirmed["selection"]["keep"].tolist() == [i >= 6 for i in range(16)]
    assert confirmed["audit_summary"]["set_aside"] == {}
    assert "Confirmed by a person: quiet." in confirmed["audit_page"]


@pytest.mark.parametrize(
    ("changed", "params", "said"),
    [
        ({"licence": "unknown"}, {}, "no clip is left"),
        ({"split": "test"}, {}, "no clip of the train split is left"),
        ({}, {"policy": "nothing"}, "no clip is left"),
        ({}, {"curation": {"budget_hours": 1e-6}}, "no training clip is left after the curation"),
        ({"path": "text.wav"}, {}, "no clip is left"),  # nothing of it decodes
    ],
)
def test_the_page_is_there_when_nothing_is_left(
    corpus: tuple[Manifest, Paths, dict[str, str]], changed: dict[str, str], params: dict[str, Any], said: str
) -> None:
    handle, paths, expected = corpus
    table = handle.frame().assign(**changed)
    too_long = {"measure": "decoded_duration_s", "min": 60.0, "verdict": "hard", "means": "under a minute"}
    policies = Policies.model_validate(TONES | {"nothing": {"under_a_minute": too_long}})
    paths.primary.mkdir(parents=True)
    passed = paths.primary / "audit_passed.json"
    passed.write_text("{}")  # of an audit before
    done: dict[str, Any] = {}
    handle = write_manifest(table, paths.intermediate / "manifest")
    with pytest.raises(CorpusError, match=f"{said}.*The page .*audit.html shows") as raised:
        run(handle, paths, AuditParams.model_validate(params), policies, done)
    assert str(paths.reports / "audit.html") in str(raised.value)
    assert not passed.exists(), "no shard is made of an audit that left nothing"
    summary = done["audit_summary"]
    assert (summary["total"]["clips"], summary["splits"]["train"]["selected_clips"]) == (len(expected), 0)
    assert "audit_passed" not in done
    page = done["audit_page"]
    assert "Can I train on this?" in page
    assert summary["findings"][0]["text"] in html.unescape(page)


def test_without_a_licence_the_run_ends_in_a_sentence(corpus: tuple[Manifest, Paths, dict[str, str]]) -> None:
    handle, paths, _ = corpus
    unknown = handle.frame().assign(licence="unknown AND CC0-1.0", attributes='{"licence": "see website"}')
    with pytest.raises(CorpusError, match=r"no clip is left.*with 'see website' in it is no licence.*LicenseRef-yours"):
        run(write_manifest(unknown, paths.intermediate / "manifest"), paths, AuditParams())


def test_the_committed_parameters_are_the_defaults() -> None:
    text = Path("conf/base/parameters_audit.yml").read_text()
    assert AuditParams.model_validate(yaml.safe_load(text)["audit"]) == AuditParams()


@needs_real
def test_real_recordings_have_no_false_copies() -> None:
    from allears.audio.measures import MeasureSpec
    from allears.audit.clip import measure_clips
    from allears.audit.duplicates import find
    from allears.audit.measuring import to_table
    from allears.corpus.clips import ClipRef
    from allears.engine.mapping import Outcome

    folder = REAL / "fsdd" / "recordings"
    files = sorted(folder.glob("7_*.wav"))[::2]
    assert files, f"{folder} has no recordings"
    spec = MeasureSpec(
        clip_level=0.99, silence_dbfs=-50.0, silence_below_loud_db=40.0, bandwidth_drop_db=50.0,
    speech_probability=0.5, speech_stride=1,
    )  # fmt: skip
    refs = [ClipRef(f"c{i}", str(file), f"{i:064d}", None, 0.0, None) for i, file in enumerate(files)]
    measures = to_table([Outcome(*found) for found in measure_clips(refs, spec)])
    table = manifest([{"clip": ref.clip, "end_s": 1.0} for ref in refs])
    assert find(table, measures, AuditParams().duplicates, agree).empty
