"""Build the sample on first use: in parallel, resumable, and finished only when its receipt says so."""

from __future__ import annotations

import csv
import functools
import io
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from allears.audio.decode import DECODERS
from allears.corpus.sample.clips import Maker
from allears.corpus.sample.plan import Plan, make_plan
from allears.corpus.sample.render import render
from allears.engine.mapping import map_items
from allears.errors import CorpusError
from allears.frames import to_hours
from allears.params.ingest import SampleParams
from allears.storage.digest import identity, value_digest
from allears.storage.files import storage_error, write_text
from allears.storage.receipt import read_receipt, write_receipt

VERSION = 1
logger = logging.getLogger(__name__)


def build_sample(folder: Path, params: SampleParams, *, workers: int | None = None) -> bool:
    """Make `folder/audio` (an AudioFolder) and `folder/truth.csv`; False when they were there already.

    The audio grows in `folder/audio.building` and takes its name at the end; a killed build goes on with the speakers
    that are missing.
    """
    plan = make_plan(params)
    inputs = {"tools": f"{DECODERS}, espeakng-loader {version('espeakng-loader')}"}
    name = identity("sample", VERSION, inputs, [asdict(maker) for maker in plan.makers])
    if read_receipt(folder, name) is not None and _complete(folder / "audio", plan):
        return False
    building = folder / "audio.building"
    try:
        seconds = _render_all(plan, building / name[:16], workers)
        write_text(building / name[:16] / "metadata.csv", _csv(plan.rows()))
        write_text(folder / "truth.csv", _csv(asdict(row) for row in plan.truth))
        (building / f"{name[:16]}.jsonl").unlink()  # it says that all is there, which is not so in a moment
        shutil.rmtree(folder / "audio", ignore_errors=True)
        (building / name[:16]).replace(folder / "audio")
        shutil.rmtree(building)
    except OSError as error:
        raise storage_error(folder, error) from error
    notes = {"hours": round(to_hours(seconds), 4), "files": len(plan.rows()), "planted": len(plan.truth)}
    write_receipt(folder, name, notes)
    logger.info("sample corpus built: %d files, %.2f h, in %s", len(plan.rows()), to_hours(seconds), folder)
    return True


def _render_all(plan: Plan, building: Path, workers: int | None) -> float:
    """Seconds of audio. A speaker's files are complete when the journal beside them says so."""
    outcomes = map_items(
        functools.partial(render, folder=building), plan.makers, key=_key,
        journal=building.with_suffix(".jsonl"), title="building the sample corpus", workers=workers,
    )  # fmt: skip
    seconds = 0.0
    for outcome in outcomes:
        if outcome.reason is not None:
            raise CorpusError(
                f"the sample's {outcome.item.name} could not be made ({outcome.message}); run the command again"
            )
        seconds += outcome.result["seconds"]
    return seconds


def _key(maker: Maker) -> str:
    return value_digest(asdict(maker))


def _complete(audio: Path, plan: Plan) -> bool:
    """Whether as many files are there as were made: somebody may have tidied up."""
    found = sum(len(files) for _, _, files in os.walk(audio))
    return found == len(plan.rows()) + 1


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    table = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
