"""Names and transcripts that mean harm: each recording is its own and no other, and nothing runs in the page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import soundfile

from tests.faults import steps
from tests.faults.hostile import RATE, noise
from tests.long import report

SCRIPT = "<script>alert(1)</script>"
NAMES = (
    "-version.wav", "--.wav", "-i.wav", "x...wav", "concat:a.wav|b.wav", "file:other.wav", "pipe:0.wav", "http:x.wav",
    "subfile,,start,0,end,0,,:a.wav", "%03d.wav", "*.wav", "[a-z].wav", "$(touch ran).wav", "`touch ran`.wav",
    "a;touch ran.wav", "'\".wav", "=cmd|calc.wav", "<img src=x onerror=alert(1)>.wav", "A.wav", "a.wav", "a\u0301.wav",
    "\u00e1.wav", "\u202egnp.wav", "x" * 250 + ".wav", "a.ogg", "NUL.wav", "space .wav", " .wav", "{corpus}.wav",
)  # fmt: skip
UNREADABLE = ("line\nbreak.wav", "bell\a.wav", "\x1b[31mred.wav", b"latin-\xe9.wav".decode(errors="surrogateescape"))


def test_a_recording_is_found_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, name in enumerate((*NAMES, *UNREADABLE)):
        soundfile.write(corpus / "temporary", noise(0.2 + 0.01 * number, seed=number), RATE, format="WAV")
        (corpus / "temporary").rename(corpus / name)
    monkeypatch.chdir(tmp_path)
    ingest = {"layout": "plain", "workers": 1}
    made = steps.run(corpus, "ingest", "audit", ingest=ingest, audit={"measures": {"workers": 1}})
    table = made.load("manifest").frame().merge(made.load("measures"), on="clip").set_index("path")
    assert set(table.index) == set(NAMES)
    for number, name in enumerate(NAMES):
        assert table.loc[name, "decoded_duration_s"] == pytest.approx(0.2 + 0.01 * number), name
    assert made.load("quarantine")["reason"].to_list() == ["bad_name"] * len(UNREADABLE)
    assert not (tmp_path / "ran").exists()
    assert not (corpus / "ran").exists()
    assert "<img src=x" not in made.load("audit_page")
    shown = made.load("quarantine")[["path", "message"]].to_string()
    assert "\x1b" not in shown
    report("names", f"{len(NAMES)} kept, each as itself; {len(UNREADABLE)} that are no text in quarantine")


def test_what_a_corpus_says_of_itself_is_shown_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "audio").mkdir(parents=True)
    hostile = (SCRIPT, '"><svg onload=alert(1)>', "javascript:alert(1)", "{{7*7}}", "</script>" + SCRIPT, "=1+1", "%s")
    columns = ("text", "speaker", "gender", "accent", "language", "label", "session")
    with (corpus / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file_name", *columns))
        for number, value in enumerate(hostile):
            soundfile.write(corpus / "audio" / f"{number}.wav", noise(0.5, seed=number), RATE)
            table.writerow((f"audio/{number}.wav", *[value] * len(columns)))
    monkeypatch.chdir(tmp_path)
    params = {"ingest": {"layout": "audiofolder", "workers": 1}, "audit": {"measures": {"workers": 1}}}
    made = steps.run(corpus, "ingest", "audit", **params)
    assert set(made.load("manifest").frame()["text"]) == set(hostile)
    page = re.sub(r"<script[^>]*>\s*/\*\*.*?</script>", "", made.load("audit_page"), flags=re.DOTALL)  # plotly itself
    assert "alert(1)" in page
    assert SCRIPT not in page
    assert "<svg onload" not in page
    assert ">49<" not in page
