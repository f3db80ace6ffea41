"""The verdict at the end of a run, and the check at its beginning that there is something to read."""

import re
from pathlib import Path

import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro_datasets.json import JSONDataset

from allears.errors import CorpusError
from allears.hooks import VerdictHook
from allears.hooks.inputs import check_inputs
from allears.pipeline_registry import register_pipelines
from tests.audit_people import audited

ROOT = Path(__file__).parents[2]
FREE = {"manifest", "verdicts", "selection", "audit_passed"}  # what `shard` reads


def test_a_run_from_the_middle_says_which_pipeline_makes_what_is_missing(tmp_path):
    bootstrap_project(ROOT)
    shard = register_pipelines()["shard"]
    catalog = DataCatalog({name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in FREE})
    for name in FREE - {"verdicts"}:
        catalog.save(name, {})
    with pytest.raises(CorpusError, match=r"(?s)'verdicts' of corpus 'mine'.*--pipeline audit --params corpus=mine$"):
        check_inputs(shard, catalog, "mine")
    catalog.save("verdicts", {})
    check_inputs(shard, catalog, "mine")
    part = register_pipelines()["ingest"].only_nodes("ingest.build_manifest")
    within = DataCatalog({"ingest_state": MemoryDataset(), "listing": MemoryDataset(1), "headers": MemoryDataset(1)})
    with pytest.raises(CorpusError, match=r"(?s)'ingest_state' is kept within a run only.*--pipeline ingest"):
        check_inputs(part, within, "mine")


def told(hook: VerdictHook, catalog: DataCatalog, summary: dict, capsys) -> str:
    hook.before_pipeline_run(Pipeline([]), catalog)
    hook.after_dataset_saved("audit_summary", summary)
    hook.after_pipeline_run()
    return capsys.readouterr().out


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_each_audit_ends_with_its_verdict_and_what_changed_since_the_last_one_that_was_told(tmp_path, capsys):
    catalog = DataCatalog({"params:paths": MemoryDataset({"corpus": "zoo", "data": tmp_path})})
    rows = [{"speaker": f"p{i}"} for i in range(40)]
    first = audited(rows, [{"snr_db": 0.0}] * 4 + [{}] * 36).summary()
    said = told(VerdictHook(), catalog, first, capsys)
    assert "kept 36 of 40 clips" in said
    assert "Left out: noisy 4." in said
    assert "first audit" in said
    assert "No change since the last audit." in told(VerdictHook(), catalog, first, capsys)

    killed = VerdictHook()  # it has saved another summary, but nobody has read its verdict
    killed.before_pipeline_run(Pipeline([]), catalog)
    killed.after_dataset_saved("audit_summary", audited(rows, [{"snr_db": 0.0}] * 7 + [{}] * 33).summary())
    second = audited(rows[:39], [{"snr_db": 0.0}] * 6 + [{}] * 33).summary()
    said = told(VerdictHook(), catalog, second, capsys)
    assert "Since the last audit: clips 40 → 39, kept 36 → 33, 1.2 min → 1.1 min kept, noisy 4 → 6." in flat(said)
    assert all(len(line) <= 80 for line in said.splitlines())


def test_the_verdict_is_told_when_a_later_step_fails_and_a_run_without_an_audit_has_none(tmp_path, capsys):
    catalog = DataCatalog({"params:paths": MemoryDataset({"corpus": "zoo", "data": tmp_path})})
    hook = VerdictHook()
    hook.before_pipeline_run(Pipeline([]), catalog)
    hook.after_dataset_saved("audit_summary", audited([{"licence": "unknown"}]).summary())
    hook.on_pipeline_error()
    assert "kept 0 of 1 clips" in capsys.readouterr().out
    hook.before_pipeline_run(Pipeline([]), catalog)
    hook.after_pipeline_run()
    assert capsys.readouterr().out == ""


def test_a_verdict_fits_a_screen_and_shows_names_as_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    page = tmp_path / "08_reporting" / "zoo" / "audit.html"
    catalog = DataCatalog(
        {
            "params:paths": MemoryDataset({"corpus": "zoo", "data": tmp_path}),
            "audit_page": JSONDataset(filepath=str(page)),
            "croissant": JSONDataset(filepath=str(page.with_name("croissant.json"))),
        }
    )
    summary = audited([{"speaker": f"p{i}"} for i in range(40)]).summary()
    texts = ["a [bold]text[/bold] \x1b[31mof\nseveral lines " * 6, "the second", "not shown"]
    summary["findings"] = [{"level": "warn", "text": text} for text in texts]
    summary["reasons"] = {f"reason_{i}": {"counted": 10 - i} for i in range(9)}
    hook = VerdictHook()
    hook.before_pipeline_run(Pipeline([]), catalog)
    hook.after_dataset_saved("audit_summary", summary)
    hook.after_dataset_saved("audit_page", "<html>")
    hook.after_dataset_saved("croissant", {})
    hook.after_pipeline_run()
    said = capsys.readouterr().out
    assert "a [bold]text[/bold]" in said
    assert "\x1b" not in said
    assert "Look at: the second" in said
    assert "not shown" not in said
    assert "reason_5 5, 3 other reasons 9." in flat(said)
    *lines, shown, written = said.splitlines()
    assert max(map(len, lines)) <= 80
    assert (shown, written) == (f"Page: {page}", f"File: {page.with_name('croissant.json')}")
