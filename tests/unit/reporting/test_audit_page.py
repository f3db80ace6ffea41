"""The audit's page: safe, small, complete."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from allears.audit import exhibits
from allears.corpus.build import write_manifest
from allears.corpus.manifest import COLUMNS
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.pipelines.audit import create_pipeline
from allears.reporting.audit_clips import MAX_BYTES, MAX_TEXT, chosen, clips_json
from allears.reporting.audit_page import AuditData, render
from allears.reporting.audit_speakers import MAX_SOURCES, MAX_SPEAKERS
from tests.audit_tables import POLICIES, STANDARD, manifest, measures
from tests.long import only_long

PARAMS = AuditParams.model_validate({"representation": {"bootstrap_samples": 50}})
RUN = "document.title='owned'"
EVIL = f'</script><script>{RUN}</script><img src=x onerror="{RUN}">{{{{ 7*7 }}}}<!--\u2028\'"]]>'
STEPS = (
    "find_duplicates", "read_overrides", "judge_clips", "select_clips", "represent", "find_disparity",
    "compare_splits", "tabulate_curation", "score_truth", "summarise_audit",
)  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def audit(table: pd.DataFrame, measured: pd.DataFrame, folder: Path, params: AuditParams = PARAMS) -> AuditData:
    """The audit of these clips by the pipeline's own steps, but for sounds: an exhibit's file is called as its clip."""
    paths = Paths(corpus="tiny", data=folder / "data")
    data: dict[str, Any] = {"manifest": write_manifest(table, folder / "manifest"), "measures": measured}
    data |= {"quarantine": pd.DataFrame({"reason": []}), "params:paths": paths}
    data |= {"params:audit": params, "params:policies": POLICIES}
    data |= {"shipped_policies": {"policies": POLICIES.model_dump()}}
    for node in create_pipeline().only_nodes(*STEPS).nodes:
        data |= node.run({name: data[name] for name in node.inputs})
    shown = exhibits.choose(table, measured, data["verdicts"], data["duplicates"], params, STANDARD)
    return AuditData(
        manifest=table, measures=measured, verdicts=data["verdicts"], duplicates=data["duplicates"],
        representation=data["representation"], disparity=data["disparity"], curation_table=data["curation_table"],
        truth_scores=data["truth_scores"], exhibits=with_files(shown), summary=data["audit_summary"],
        decided=data["overrides"],
    )  # fmt: skip


def with_files(shown: pd.DataFrame) -> pd.DataFrame:
    """As if each exhibit had been made."""
    return shown.assign(file=shown["clip"], seconds=12.0, top_hz=8000.0, problem=pd.NA)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> AuditData:
    """Forty clips whose every text is markup that wants to run, some noisy, some copies."""
    said = dict.fromkeys(("path", "text", "label", "language", "accent", "gender", "speaker", "session"), EVIL)
    table = manifest([said | {"path": f"{EVIL}{i}.wav", "end_s": 10.0, "file_duration_s": 10.0} for i in range(40)])
    values = [
        {"decoded_duration_s": 10.0, "snr_db": 2.0 + i, "pcm_sha256": f"p{i // 2 if i > 35 else -i}"} for i in range(40)
    ]
    return audit(table, measures(table, values), tmp_path_factory.mktemp("hostile"))


class Elements(HTMLParser):
    """Every element that a browser would make, and the text of each script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._inside = False

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data) -> None:
        if self._inside:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = attrs, text + data

    def handle_endtag(self, tag) -> None:
        self._inside = False


def test_markup_in_a_corpus_stays_text(hostile: AuditData) -> None:
    page = render(hostile, PARAMS, STANDARD)
    found = Elements()
    found.feed(page)
    policy_text = next(attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy_text
    assert "unsafe-eval" not in policy_text
    assert "http" not in policy_text
    running = [text for attrs, text in found.scripts if attrs.get("type") != "application/json"]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in running]
    script_rule = re.search(r"script-src ([^;]+);", policy_text)
    assert script_rule
    assert script_rule[1].split() == hashes, "no script but ours, each named by its hash"
    assert not [attrs for _, attrs in found.tags if any(name.startswith("on") for name in attrs)]
    assert {attrs["src"].split("/")[0] for tag, attrs in found.tags if tag in ("img", "audio")} == {"audit_files"}
    data = [json.loads(text) for attrs, text in found.scripts if attrs.get("type") == "application/json"]
    rows = next(each["rows"] for each in data if "rows" in each)
    assert any(EVIL[:50] in str(value) for value in rows[0]), "it is still to be read"


def test_hours_that_are_in_no_clip_are_said(hostile: AuditData) -> None:
    assert "In no clip" not in render(hostile, PARAMS, STANDARD)
    summary = hostile.summary | {"gaps": {"pauses": 0.5, "withdrawn": 0.25}}
    page = render(replace(hostile, summary=summary), PARAMS, STANDARD)
    assert "<p>In no clip: 0.50 h, pauses between the clips.</p>" in page
    assert "<p>In no clip: 0.25 h, withdrawn pieces" in page


def test_nothing_is_fetched_from_elsewhere(hostile: AuditData) -> None:
    page = render(hostile, PARAMS, STANDARD)
    found = Elements()
    found.feed(page)
    assert not [attrs for tag, attrs in found.tags if tag in ("link", "iframe", "object", "base", "form")]
    assert all("src" not in attrs and attrs.get("type") != "module" for attrs, _ in found.scripts)
    assert page.count("plotly.js v") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_a_browser_the_table_is_there_and_nothing_hostile_runs(hostile: AuditData, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    page.write_text(render(hostile, PARAMS, STANDARD), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "<title>Audit of tiny</title>" in done.stdout
    assert "40 of 40 listed clips match" in done.stdout
    assert done.stdout.count('class="main-svg"') > 0, "plotly may draw under the page's policy"
    dom = Elements()
    dom.feed(done.stdout)
    assert len([1 for tag, _ in dom.tags if tag == "td"]) > 40 * 10


def big(count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`count` clips with long texts; one in three noisy."""
    random = np.random.default_rng(0)
    one = manifest([{}])
    table = one.loc[np.repeat(0, count)].reset_index(drop=True)
    number = pd.Series(np.arange(count).astype(str), dtype="string")
    table["clip"] = "clip-" + number
    table["file_sha256"] = number.str.zfill(64)
    table["path"] = "folder/of/some/length/" + number + ".wav"
    table["speaker"] = "speaker-" + (number.astype("int64") % 997).astype("string")
    table["group"] = table["speaker"]
    table["text"] = "слово за слово " * 20 + number
    measured = measures(one).loc[np.repeat(0, count)].reset_index(drop=True)
    measured["clip"] = table["clip"]
    measured["pcm_sha256"] = number
    measured["snr_db"] = random.normal(14, 8, count)
    return table[list(COLUMNS)], measured


@pytest.mark.parametrize("clips", [200_000, pytest.param(1_000_000, marks=only_long)])
def test_many_clips_give_a_small_page(clips: int, tmp_path: Path) -> None:
    """All that grows with the clips is big; what is made of groups and reasons is a small corpus's."""
    table, measured = big(clips)
    small = audit(*big(300), tmp_path)
    noisy = measured["snr_db"] < 10
    judged = {"verdict": np.where(noisy, "soft", "keep"), "reasons": np.where(noisy, "noisy", ""), "set_aside": ""}
    verdicts = pd.DataFrame({"clip": table["clip"]} | judged).astype("string")
    shown = exhibits.choose(table, measured, verdicts, small.duplicates, PARAMS, STANDARD)
    shown = with_files(shown)
    facts = small.summary | {"total": small.summary["total"] | {"clips": len(table)}}
    page = render(
        replace(small, manifest=table, measures=measured, verdicts=verdicts, exhibits=shown, summary=facts),
        PARAMS,
        STANDARD,
    )
    assert len(page.encode()) <= 8_000_000
    rows = re.search(r'"rows":(\[.*?\])\}</script>', page, re.DOTALL)
    assert rows
    assert len(json.loads(rows[1])) == PARAMS.listen.table_rows
    assert f"5,000 of {clips:,} clips" in page
    assert "data/03_primary/tiny/" in page


def test_a_label_for_each_clip_gives_a_small_page(tmp_path: Path) -> None:
    table, measured = big(20_000)
    page = render(audit(table.assign(label=table["clip"]), measured, tmp_path), PARAMS, STANDARD)
    assert len(page.encode()) <= 8_000_000
    assert "groups as a table, the largest 100; all are in representation.parquet" in page


def joined(data: AuditData) -> pd.DataFrame:
    return data.manifest.merge(data.measures, on="clip").merge(data.verdicts, on="clip")


def test_the_table_takes_the_heard_then_all_reasons_alike(tmp_path: Path) -> None:
    data = audit(*big(3000), tmp_path, PARAMS.model_copy(update={"suspect_share": 1.0}))
    clips = joined(data)
    places = chosen(clips, data.exhibits, 400)
    assert len(places) == len(set(places.tolist())) == 400
    some = clips.iloc[places]
    assert set(data.exhibits["clip"]) <= set(some["clip"])
    assert (some["verdict"] == "keep").sum() == 40
    assert sorted(chosen(clips, data.exhibits, 5000).tolist()) == list(range(3000)), "all, where all fit"
    assert len(chosen(clips, data.exhibits, 0)) == 0


def test_the_table_names_clips_as_commands_take_them_and_says_where_in_a_file_they_are() -> None:
    pieces = [{"path": "l.tar", "member": f"{i}.wav", "start_s": 12_345.67 + i, "end_s": 12_346.0 + i} for i in (0, 1)]
    table = manifest([*(piece | {"file_duration_s": 20_000.0} for piece in pieces), {}])
    nothing = pd.DataFrame({"clip": [], "file": []})
    clips = table.merge(measures(table), on="clip").assign(verdict="soft", reasons="noisy")
    listed = json.loads(clips_json(clips, nothing, 10)[0])
    keys = [column["key"] for column in listed["columns"]]
    found = {row[keys.index("clip")]: (row[keys.index("member")], row[keys.index("from_s")]) for row in listed["rows"]}
    assert found == {"c0": ("0.wav", 12_345.67), "c1": ("1.wav", 12_346.67), "c2": (None, None)}
    whole = json.loads(clips_json(clips[clips["clip"] == "c2"], nothing, 10)[0])
    assert not {"member", "from_s"} & {column["key"] for column in whole["columns"]}, "only where there are any"


def test_a_card_has_the_id_of_its_clip(hostile: AuditData) -> None:
    page = render(hostile, PARAMS, STANDARD)
    assert set(hostile.exhibits["clip"]) == set(re.findall(r'<code class="id">([^<]+)</code>', page))


def test_the_tables_bytes_are_bounded_whatever_the_texts() -> None:
    table, measured = big(5000)
    clips = table.assign(text="<" * 500, path="<" * 500, speaker="<" * 300).merge(measured, on="clip")
    nothing = pd.DataFrame({"clip": [], "file": []})
    text, rows = clips_json(clips.assign(verdict="soft", reasons="noisy"), nothing, 5000)
    assert 0 < rows < 5000
    assert len(text.encode()) < MAX_BYTES + 10_000
    assert "<" not in text
    first = json.loads(text)["rows"][0]
    assert "<" * (MAX_TEXT - 1) + "…" in first


def test_texts_are_said_to_be_judged_or_why_not(tmp_path: Path) -> None:
    table = manifest([{}] * 4)
    alone = render(audit(table, measures(table), tmp_path / "alone"), PARAMS, STANDARD)
    assert "No model has held the texts against the audio" in alone
    fates = [{"text_judged": fate} for fate in ("yes", "trained_on", "trained_on", "no_text")]
    html = render(audit(table, measures(table, fates), tmp_path / "judged"), PARAMS, STANDARD)
    assert "No model has held" not in html
    for words in ("not judged: the model was trained on the clip", "not judged: no text", "25 %", "50 %"):
        assert words in html
    mute = manifest([{"text": None}] * 4)
    assert 'id="texts"' not in render(audit(mute, measures(mute), tmp_path / "mute"), PARAMS, STANDARD)


def test_texts_that_hardly_anybody_said_are_listed(tmp_path: Path) -> None:
    rows = [{"text": f"sentence {i}", "end_s": 1.0 + i % 10} for i in range(100)]
    table = manifest(rows + [{"text": EVIL, "end_s": 1.0 + i} for i in range(10)])
    html = render(audit(table, measures(table), tmp_path), PARAMS, STANDARD)
    assert "Texts that many clips have" in html
    assert EVIL.lower() not in html


def test_leaks_of_speakers_sessions_and_copies_have_each_their_line(tmp_path: Path) -> None:
    call = [{"speaker": "a", "session": "call"}, {"speaker": "b", "session": "call", "split": "test"}]
    table = manifest([*call, {}, {}, {}])
    page = render(
        audit(table, measures(table, [{}, {"pcm_sha256": "x"}, {"pcm_sha256": "x"}, {}, {}]), tmp_path),
        PARAMS,
        STANDARD,
    )
    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "No speaker (else session, else recording) is in more than one split." in words
    assert "Sessions in more than one split, with other speakers: 1 of 1. 1 clip on the training side, none of" in words
    assert "Copies of clips of a split that is further held out: 1 clip on the training side, none of them" in words


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_rules_that_are_set_aside_are_said_with_three_clips_to_hear(tmp_path: Path) -> None:
    table = manifest([{"path": f"{i}.wav"} for i in range(60)])
    values = [{"pause_snr_db": 5.9 - i / 10} for i in range(40)] + [{}] * 20
    page = render(audit(table, measures(table, values), tmp_path), PARAMS, STANDARD)
    section = page[page.index('id="aside"') : page.index('id="went"')]
    assert "It flags 67 % of the clips (40)." in words_of(section)
    assert "audit.confirm=[loud_pauses]" in section
    assert re.findall(r'<audio [^>]*src="audit_files/(\w+)\.mp3"', section) == ["c39", "c19", "c0"]
    assert 'href="#aside"' in page
    alone = render(audit(table, measures(table), tmp_path / "alone"), PARAMS, STANDARD)
    assert 'id="aside"' not in alone
    assert "Policy standard ." in words_of(alone)


def test_the_policy_says_at_the_top_how_many_of_its_rules_were_changed(hostile: AuditData) -> None:
    changed = replace(hostile, summary=hostile.summary | {"policy": "standard, 1 rule changed"})
    page = words_of(render(changed, PARAMS, STANDARD))
    assert "· policy standard, 1 rule changed Can I train on this?" in page
    assert "Policy standard, 1 rule changed ." in page


def test_speakers_with_the_most_flagged_clips_come_first_and_few_clips_prove_little(tmp_path: Path) -> None:
    rows = [{"speaker": name} for name in ["one"] + ["bad"] * 10 + ["good"] * 60]
    table = manifest(rows)
    values = [{"clipped_share": 0.5, "snr_db": 34.0}] + [{"clipped_share": 0.5, "dc_offset": -0.085}] * 9 + [{}] * 61
    page = render(audit(table, measures(table, values), tmp_path), PARAMS, STANDARD)
    listed = words_of(page[page.index('id="speakers"') :].split("</table>")[0])
    assert re.findall(r"(one|bad|good) \d", listed) == ["bad", "one", "good"]
    assert "bad 20.0 s 10 -25.0 30.0 -0.085 90 % 0 %" in listed
    assert "one 2.0 s 1 -25.0 ≥ 34 0 100 % 0 %" in listed
    split = words_of(page[page.index("Kept and left out, by source and split") :].split("</table>")[0])
    assert "s train 71 2.4 min 61 86 % clipped 10" in split


def test_thousands_of_speakers_and_sources_give_a_small_page(tmp_path: Path) -> None:
    table, measured = big(20_000)
    number = pd.Series(np.arange(20_000).astype(str), dtype="string")
    many = table.assign(speaker="p" + number, group="g" + number, source="s" + number.str.zfill(5).str[-3:])
    page = render(audit(many, measured, tmp_path), PARAMS, STANDARD)
    assert len(page.encode()) <= 8_000_000
    assert f"{MAX_SPEAKERS} of 20,000 speakers" in page
    assert f"{MAX_SOURCES} of 1,000 sources, the largest first." in page


def test_a_corpus_without_speakers_has_no_table_of_them(tmp_path: Path) -> None:
    table = manifest([{"speaker": None, "group": f"g{i}"} for i in range(5)])
    assert 'id="speakers"' not in render(audit(table, measures(table), tmp_path), PARAMS, STANDARD)
