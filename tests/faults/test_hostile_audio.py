"""Everything in `hostile.CASES` at once, among good recordings, through ingest and audit."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.faults import steps
from tests.faults.hostile import CASES, KEPT, RATE, Case, Surroundings, noise
from tests.faults.watch import Watch
from tests.long import report
from tests.unit.corpus import miniatures

GOOD = 8
WORKER_MB = 1024  # what a worker of the audit may use


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The datasets of one run over all cases; `called`: whether the address was; `mb`: what the largest worker used."""
    folder = tmp_path_factory.mktemp("hostile")
    corpus = folder / "corpus"
    corpus.mkdir()
    secret = folder / "secret.wav"
    soundfile.write(secret, noise(1.5, seed=99), RATE)
    with socket.create_server(("127.0.0.1", 0)) as server, Watch() as watch:
        server.setblocking(False)
        around = Surroundings(secret, f"127.0.0.1:{server.getsockname()[1]}")
        for case in CASES:
            case.write(corpus / case.name, around)
        for i in range(GOOD):
            miniatures.tone(corpus / f"good-{i}.wav", hz=200 + 20 * i)
        data = audited(folder)
        try:
            server.accept()
            called = True
        except BlockingIOError:
            called = False
    return data | {"secret": secret, "called": called, "mb": watch.most_mb, "folder": folder}


def audited(folder: Path) -> dict[str, Any]:
    """What ingest and audit of `folder/corpus` made."""
    with contextlib.chdir(folder):
        ingest = {"layout": "plain", "max_quarantine_share": 1.0, "workers": 2}
        made = steps.run(folder / "corpus", "ingest", "audit", ingest=ingest, audit={"measures": {"workers": 2}})
        manifest = made.load("manifest").frame()
        return {"manifest": manifest} | {name: made.load(name) for name in ("quarantine", "measures", "verdicts")}


def ended(run: dict[str, Any], name: str) -> str:
    """The reason in the quarantine, or of the audit's failure, or KEPT when all clips of a recording were measured."""
    reasons = run["quarantine"].set_index("path")["reason"]
    if name in reasons.index:
        return str(reasons[name])
    clips = run["manifest"].set_index("path").loc[[name], "clip"]
    failed = run["measures"].set_index("clip").loc[clips, "failed_reason"].dropna().unique()
    return ", ".join(failed) or KEPT


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_ends_as_it_must(run: dict[str, Any], case: Case) -> None:
    assert ended(run, case.name) == case.expected


def test_the_good_ones_are_kept_and_everything_adds_up(run: dict[str, Any]) -> None:
    assert [ended(run, f"good-{i}.wav") for i in range(GOOD)] == [KEPT] * GOOD
    manifest, quarantine = run["manifest"], run["quarantine"]
    assert set(manifest["path"]) | set(quarantine["path"]) == {case.name for case in CASES} | {
        f"good-{i}.wav" for i in range(GOOD)
    }
    assert not set(manifest["path"]) & set(quarantine["path"])
    verdicts = run["verdicts"].set_index("clip")["verdict"]
    failed = run["measures"].set_index("clip")["failed_reason"].notna()
    assert (verdicts[failed[failed].index] == "hard").all()
    numbers = run["measures"].select_dtypes("float64").to_numpy()
    assert not np.isinf(numbers).any()
    for reason in sorted({case.expected for case in CASES}):
        report(reason, ", ".join(case.name for case in CASES if case.expected == reason))


def test_nothing_from_outside_comes_in_and_nobody_is_called(run: dict[str, Any]) -> None:
    assert not run["called"]
    secret_T, _ = soundfile.read(run["secret"], dtype="float32")
    digests = set(run["measures"]["pcm_sha256"].dropna())
    assert hashlib.sha256(str(RATE).encode() + secret_T.tobytes()).hexdigest() not in digests
    assert digests.isdisjoint(_stretches(secret_T))
    manifest = run["manifest"]
    assert not manifest["file_sha256"].eq(hashlib.sha256(run["secret"].read_bytes()).hexdigest()).any()
    assert not manifest["path"].str.contains("secret").any()


def _stretches(secret_T: np.ndarray) -> set[str]:
    """Digests of the secret's samples without its first ones, as another file's header may cut them out."""
    whole = secret_T.tobytes()
    return {hashlib.sha256(str(RATE).encode() + whole[4 * i : 4 * (i + RATE)]).hexdigest() for i in range(100)}


def test_no_worker_takes_more_than_its_share(run: dict[str, Any]) -> None:
    assert 0 < run["mb"] < WORKER_MB
    report("largest worker over all hostile recordings", f"{run['mb']:.0f} MB")


def test_what_failed_may_be_read_by_people(run: dict[str, Any]) -> None:
    messages = pd.concat([run["quarantine"]["message"], run["measures"]["failed_message"].dropna()])
    assert messages.str.len().min() > 20
    assert not messages.str.contains(r"[\x00-\x1f]|Traceback|Error\(", regex=True).any(), messages.to_list()


def test_a_second_run_decodes_only_what_may_have_passed(run: dict[str, Any]) -> None:
    journal = run["folder"] / "data" / "03_primary" / "mine" / "measures.jsonl"
    lines = len(journal.read_bytes().splitlines())
    assert lines == run["measures"]["clip"].nunique() - _same_audio(run)
    before = time.time_ns()
    again = audited(run["folder"])
    assert again["measures"].equals(run["measures"])
    assert journal.stat().st_mtime_ns < before


def _same_audio(run: dict[str, Any]) -> int:
    manifest = run["manifest"]
    return int(manifest.duplicated(["file_sha256", "start_s", "end_s"]).sum())
