"""The documents of a corpus, Croissant and datasheet, against its tables and as other readers read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pandas as pd
import pytest
import soundfile

from allears.audit import curation, disparity, policy, representation, split_comparison, summary
from allears.corpus.build import write_manifest
from allears.corpus.manifest import Gaps
from allears.corpus.schema import SCHEMA
from allears.errors import ConfigError
from allears.params.audit import AuditParams
from allears.params.base import Paths
from allears.params.shard import ShardParams
from allears.pipelines.document.nodes import read_answers, write_documents
from allears.pipelines.shard.nodes import write_shards
from allears.reporting import questions
from allears.storage.digest import file_digest
from allears.storage.files import write_json, write_text
from tests.audit_tables import POLICIES, STANDARD, manifest, measures

HOSTILE = 'x"\n# <script>alert(1)</script> `*[a](http://b)|'
SECRETS = {
    "root": "/home/erika",
    "text": "my secret words",
    "speaker": "Erika Mustermann",
    "session": "room 101",
    "label": "Max Mustermann",
}


class Corpus:
    """A manifest, and the audit's tables of it: everything is faultless but what a test changes."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], params: AuditParams | None = None) -> None:
        self.paths = Paths(corpus="tiny", data=folder)
        self.params = params or AuditParams()
        self.table = manifest(rows)
        self.manifest = write_manifest(self.table, self.paths.intermediate / "manifest")
        measured = measures(self.table)
        found = pd.DataFrame({"clip": [], "kind": [], "duplicate_of": []})
        self.verdicts = policy.judge(self.table, measured, found, self.params, STANDARD)
        selection = curation.select(self.table, measured, self.verdicts, None, self.params)
        self.groups, axes = representation.represent(self.table, selection, {}, self.params)
        unequal = disparity.disparity(self.table, self.verdicts, selection, self.params)
        compared = split_comparison.compare(self.table, measured, selection)
        quarantine = pd.DataFrame({"reason": ["zero_byte"]})
        tables = summary.Tables(
            self.table, quarantine, self.verdicts, selection, self.groups, axes, unequal, *compared, Gaps(1800, 36)
        )
        self.summary = summary.summarise(tables, self.params, STANDARD, "tiny", self.manifest.digest)

    def documents(self, shard_set: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
        sources = [{"name": "s", "root": "/home/erika/s", "layout": "kaldi", "licence": "CC0-1.0"}]
        answers = read_answers(self.paths)
        return write_documents(
            sources, self.manifest, self.verdicts, self.groups, self.summary, answers, shard_set or {}, self.params,
            POLICIES, self.paths,
        )  # fmt: skip

    def read(self, document: dict[str, Any]) -> Any:
        """The document as mlcroissant reads it from the file; raises where it finds an error."""
        file = self.paths.reports / "croissant.json"
        write_json(file, document)
        return mlcroissant.Dataset(jsonld=file)


def same(records: Any, table: pd.DataFrame, name: str) -> None:
    """Whether mlcroissant's records of a record set are the rows of a table."""
    found = [
        {key.removeprefix(f"{name}/"): v.decode() if isinstance(v, bytes) else v for key, v in record.items()}
        for record in records
    ]
    assert found == [
        {column: None if pd.isna(value) else value for column, value in row.items()} for row in table.to_dict("records")
    ]


def test_mlcroissant_reads_the_rows_of_the_manifest(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, [SECRETS, {"channel": 1, "text": None, "language": None}, {"age": "30", "split": "test"}])
    dataset = corpus.read(corpus.documents()[0])
    same(dataset.records("clips"), corpus.table, "clips")
    assert [field.name for field in dataset.metadata.record_sets[0].fields] == list(SCHEMA.columns)
    assert dataset.metadata.version == corpus.manifest.digest
    assert dataset.metadata.data_biases
    assert dataset.metadata.ctx.issues.errors == set()
    warnings = " ".join(dataset.metadata.ctx.issues.warnings)
    assert len(dataset.metadata.ctx.issues.warnings) == 2
    assert "datePublished" in warnings
    assert "MAJOR.MINOR.PATCH" in warnings


def test_each_part_of_a_manifest_is_a_record_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allears.corpus.build.ROWS_PER_PART", 2)
    corpus = Corpus(tmp_path, [{}, {}, {}])
    dataset = corpus.read(corpus.documents()[0])
    same(dataset.records("clips-0"), corpus.table[:2], "clips-0")
    same(dataset.records("clips-1"), corpus.table[2:], "clips-1")


def test_shards_are_in_it_only_when_they_are_of_this_version(tmp_path: Path) -> None:
    root = tmp_path / "audio"
    root.mkdir()
    rows = []
    for number in range(3):
        file = root / f"{number}.wav"
        soundfile.write(file, np.random.default_rng(number).normal(0, 0.1, 32_000), 16_000)
        rows.append({"root": str(root), "file_bytes": file.stat().st_size, "file_sha256": file_digest(file)})
    corpus = Corpus(tmp_path / "data", rows)
    assert len(corpus.documents()[0]["distribution"]) == 1
    handle = write_shards(corpus.manifest, corpus.verdicts, ShardParams(workers=1), corpus.paths)
    document, sheet = corpus.documents(handle)
    assert f"Shards, version {handle['digest'][:12]}, hold mono FLAC" in sheet
    columns = [field["name"] for field in document["recordSet"][1]["field"]]
    index = pd.read_parquet(corpus.paths.shards / "shards" / "index.parquet", columns=columns)
    same(corpus.read(document).records("shards"), index, "shards")
    glob = corpus.paths.reports.resolve() / document["distribution"][2]["includes"]
    assert {path.name for path in glob.parent.resolve().glob(glob.name)} == set(index["shard"])

    document, sheet = corpus.documents(handle | {"made_from": "another audit"})
    assert len(document["distribution"]) == 1
    assert "No shards are written of this version" in sheet


def test_what_of_the_recordings_is_in_no_clip_is_said(tmp_path: Path) -> None:
    for text in Corpus(tmp_path, [{}]).documents():
        assert "In no clip: 0.50 h, pauses between the clips." in str(text)
        assert "In no clip: 36.0 s, withdrawn pieces of recordings that stay." in str(text)


def test_every_licence_is_named_and_unknown_says_so(tmp_path: Path) -> None:
    rows = [{"licence": name} for name in ("CC-BY-4.0", "unknown", "LicenseRef-mine", "MIT OR Apache-2.0")]
    corpus = Corpus(tmp_path, rows)
    document, sheet = corpus.documents()
    named = [licence if isinstance(licence, str) else licence["name"] for licence in document["license"]]
    address = "https://spdx.org/licenses/CC-BY-4.0.html"
    assert sorted(named) == sorted([address, "unknown", "LicenseRef-mine", "MIT OR Apache-2.0"])
    assert len(corpus.read(document).metadata.license) == 4
    assert "- unknown: 1 clips of s, 0 of them selected." in sheet


def test_a_corpus_of_which_nothing_is_known(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, [{"text": None, "language": None, "speaker": None, "group": f"s/{i}"} for i in range(3)])
    document, sheet = corpus.documents()
    corpus.read(document)
    assert document["keywords"] == ["audio"]
    assert "inLanguage" not in document
    assert "text: unknown for all clips." in sheet
    assert "No clip has a text or a label." in sheet
    for name in ("citeAs", "rai:annotationsPerItem", "rai:dataSocialImpact"):
        assert document[name] == "unknown"
    assert document["rai:annotatorDemographics"] == ["unknown"]
    assert {"datePublished", "url"} & set(document) == set()
    assert sheet.count("*unknown*\n") == len(questions.QUESTIONS) - len(re.findall(r"`\)\n\n- ", sheet))


def test_no_text_speaker_label_or_folder_is_quoted(tmp_path: Path) -> None:
    rows = [SECRETS | {"accent": "of one village"}] * 3 + [SECRETS | {"split": "test"}, {"accent": "usual"}]
    document, sheet = Corpus(tmp_path, [dict(row) for row in rows]).documents()
    written = json.dumps(document) + sheet
    for secret in (*SECRETS.values(), "of one village", "usual", "erika"):
        assert secret not in written, secret
    assert "accent: a group of very few dominates." in sheet


def test_a_group_that_the_cut_offs_take_away_is_named(tmp_path: Path) -> None:
    params = AuditParams.model_validate({"assessable": {"speakers": 5, "clips": 5}})
    rows = [{"accent": "us"}] * 6 + [
        {"accent": "gb", "licence": "CC0-1.0" if i < 3 else "CC-BY-NC-4.0"} for i in range(6)
    ]
    document, sheet = Corpus(tmp_path, [dict(row) for row in rows], params).documents()
    said = "accent: the cut-offs keep 'gb' 0.50 times as often as the best kept (95 % interval 0."
    assert any(line.startswith(said) for line in document["rai:dataBiases"])
    assert said in sheet


def test_hostile_names_stay_data(tmp_path: Path) -> None:
    rows = [{"accent": HOSTILE, "codec": HOSTILE, "language": HOSTILE} for _ in range(5)]
    params = AuditParams.model_validate({"assessable": {"speakers": 1, "clips": 1}})
    corpus = Corpus(tmp_path, rows, params)
    write_text(corpus.paths.raw / "datasheet.yml", json.dumps({"purpose": HOSTILE, "citation": HOSTILE}))
    document, sheet = corpus.documents()
    assert corpus.read(document).metadata.cite_as == HOSTILE
    assert any("accent" in line and "<script>" in line for line in document["rai:dataBiases"])
    assert "<script>" not in sheet
    assert not re.search(r"(?<!\\)\]\(", sheet)
    assert [line for line in sheet.splitlines() if line.startswith("#")] == re.findall(
        r"^#+ [A-Z].*", sheet, re.MULTILINE
    )


def test_what_people_answer_is_in_both(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, [{}])
    answers = (
        "purpose: To hear birds.\ncreated_by: A club\nurl: https://example.org/birds\ndate_published: 2024-05-01\n"
        "citation: Club (2024)\nannotations_per_item: 3\nconsent: yes\nfunded_by:\n"
        "labelling: |\n  Two of us.\n\n  In turns.\n"
    )
    write_text(corpus.paths.raw / "datasheet.yml", answers)
    document, sheet = corpus.documents()
    assert document["creator"]["name"] == "A club"
    assert document["rai:annotationsPerItem"] == "3"
    assert document["description"].startswith("To hear birds.")
    assert "> Two of us.\n> \n> In turns." in sheet
    assert "(`funded_by`)\n\n*unknown*" in sheet
    metadata = corpus.read(document).metadata
    assert (metadata.url, metadata.cite_as) == ("https://example.org/birds", "Club (2024)")
    assert metadata.date_published.date().isoformat() == "2024-05-01"
    assert len(metadata.ctx.issues.warnings) == 1, "the version is a digest"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("consnet: yes", r"datasheet\.yml: 'consnet' is no question .*did you mean 'consent'\?"),
        ("3: yes", r"'3' is no question"),
        ("consent: [a, b]", r"the answer to 'consent' must be a text, found list"),
        ("- consent", r"expected one `key: answer` a line, found list"),
        ("consent: 'yes", r"is not YAML"),
        ("consent: \x00", r"is not YAML"),
        ("date_published: last year", r"date_published: expected a date such as .*found 'last year'"),
        ("url: javascript:alert(1)", r"url: expected an address .*found 'javascript"),
    ],
)
def test_a_wrong_answer_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "datasheet.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        questions.read_answers(file)


def test_bytes_that_are_no_text_are_a_sentence_and_no_file_is_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "datasheet.yml"
    assert questions.read_answers(file) == {}
    file.write_text("")
    assert questions.read_answers(file) == {}
    file.write_bytes(b"consent: \xff\xfe")
    with pytest.raises(ConfigError, match="is not YAML"):
        questions.read_answers(file)
