"""What is remembered of a corpus, so that later commands need only its name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from allears.corpus.layouts.detect import check_present, detect
from allears.corpus.layouts.read import check_columns, explain_columns
from allears.corpus.licences import checked
from allears.corpus.mirror import mirror_of, named, reflect
from allears.errors import ConfigError, CorpusError, StorageError, command, nearest, run_command
from allears.params.base import Paths
from allears.params.corpus import BY_NAME, SAMPLE, ColumnNames, CorpusSettings, Layout, SourceSettings, is_name
from allears.storage.bucket import is_url, typed_path
from allears.storage.files import read_json, write_json
from allears.storage.portable import portable

NAME = "corpus.json"
SAMPLE_LICENCE = "CC0-1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one command line says about a corpus; None: nothing."""

    path: str | None = None
    layout: Layout | None = None
    licence: str | None = None
    label: str | None = None
    columns: ColumnNames = BY_NAME


def remember(
    paths: Paths,
    corpus: str,
    *,
    path: str | None = None,
    layout: Layout | None = None,
    licence: str | None = None,
    label: str | None = None,
    columns: ColumnNames = BY_NAME,
) -> CorpusSettings:
    """Join what this command gives with what is remembered of `corpus`, write it down, return it.

    A new path is a new source, a known one is updated; without a path, layout and licence go to the only source.
    Raises ConfigError (a path without a corpus, a missing or odd licence, an impossible name) and CorpusError (an
    unknown corpus without a path, a folder that is missing, empty or unreadable); of a bucket, which is
    listed when it is new, as `mirror.reflect`.
    """
    given = Given(path=path, layout=layout, licence=licence, label=label, columns=columns)
    if corpus == SAMPLE:
        settings = _sample(paths, given)
    else:
        known = _read(paths)
        if known is None and path is None:
            raise CorpusError(_unknown(paths, corpus))
        settings = _joined(paths, corpus, known, given)
        if given != Given():
            _check_columns(paths, settings, given)
    if not (paths.raw / NAME).exists() or _read(paths) != settings:
        write_json(paths.raw / NAME, settings.model_dump(mode="json"))
    return settings


def recall(paths: Paths, corpus: str) -> CorpusSettings:
    """What is remembered of `corpus`; CorpusError lists the known ones when it is not among them."""
    if corpus == SAMPLE:
        return _sample(paths, Given())
    settings = _read(paths)
    if settings is None:
        raise CorpusError(_unknown(paths, corpus))
    return settings


def known_corpora(data: Path) -> list[str]:
    """Names of the corpora that were added under the data folder, the sample aside."""
    folders = (file.parent.name for file in (data / "01_raw").glob(f"*/{NAME}"))
    return sorted(name for name in folders if name != SAMPLE)


def _sample(paths: Paths, given: Given) -> CorpusSettings:
    asked = {"path": given.path, "layout": given.layout, "licence": given.licence}
    extra = [f"ingest.{name}" for name, value in asked.items() if value is not None]
    if extra:
        raise ConfigError(
            f"{extra[0]} was given without a corpus, and the embedded sample takes none. Name yours, for example\n"
            f"  {_how_to_add('mine', given.path or 'FOLDER', given.licence or 'CC-BY-4.0')}"
        )
    source = SourceSettings(name=SAMPLE, path=str(paths.raw / "audio"), layout="audiofolder", licence=SAMPLE_LICENCE)
    return CorpusSettings(corpus=SAMPLE, sources=(source,), label=given.label or "label", columns=given.columns)


def _read(paths: Paths) -> CorpusSettings | None:
    file = paths.raw / NAME
    if not file.exists():
        return None
    try:
        return CorpusSettings.model_validate(read_json(file))
    except ValidationError as error:
        raise StorageError(
            f"{file} is not what allears wrote ({error.errors()[0]['msg']}); correct it, or delete it and add the "
            "corpus again with ingest.path and ingest.licence"
        ) from error


def _joined(paths: Paths, corpus: str, known: CorpusSettings | None, given: Given) -> CorpusSettings:
    sources = list(known.sources) if known else []
    label = given.label or (known.label if known else None)
    columns = (known.columns if known else BY_NAME).model_copy(update=dict(given.columns.given()))
    if given.path is not None:
        path = (
            typed_path(given.path) if is_url(given.path) else str(portable(_folder(given.path.removeprefix("file://"))))
        )
        at = next((i for i, source in enumerate(sources) if source.path == path), None)
        if at is None:
            sources.append(_new_source(paths, corpus, path, given, sources))
        else:
            sources[at] = _updated(sources[at], given)
    elif given.layout is not None or given.licence is not None:
        if len(sources) > 1:
            names = ", ".join(source.path for source in sources)
            raise ConfigError(
                f"corpus '{corpus}' has {len(sources)} sources ({names}): say which one you mean with ingest.path"
            )
        sources[0] = _updated(sources[0], given)
    try:
        return CorpusSettings(corpus=corpus, sources=tuple(sources), label=label, columns=columns)
    except ValidationError as error:
        raise ConfigError(
            f"corpus: '{corpus}' cannot be a name ({error.errors()[0]['msg']}); use up to 40 letters, digits, - and _"
        ) from error


def _new_source(
    paths: Paths, corpus: str, path: str, given: Given, sources: list[SourceSettings]
) -> SourceSettings:  # fmt: skip
    if given.licence is None:
        raise ConfigError(
            f"{path} has no licence: who may train on it must be known first. Type\n"
            f"  {_how_to_add(corpus, given.path or path, 'LICENCE')}\n"
            "with an SPDX name (CC-BY-4.0, CC0-1.0 …) or LicenseRef-NAME, for terms of its own, as LICENCE"
        )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).name).strip("-_")[:48] or "source"
    taken = {source.name for source in sources}
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 10_000))) if n not in taken)
    licence = checked(given.licence, "ingest.licence")
    source = SourceSettings(name=name, path=path, layout=given.layout, licence=licence)
    mirror = mirror_of(paths, source)
    if mirror is not None:
        reflect(mirror)
    with named(mirror):  # a folder without recordings, or an ambiguous one, must not be remembered
        folder = Path(path) if mirror is None else mirror.folder
        if given.layout is None:
            detect(folder)
        else:
            check_present(folder, given.layout)
    return source


def _check_columns(paths: Paths, settings: CorpusSettings, given: Given) -> None:
    """CorpusError when the label is no column of a source, or another column that was named is one of none: what cannot
    be must not be remembered.
    """
    looked_at: list[tuple[Path, Layout]] = []
    for source in settings.sources:
        mirror = mirror_of(paths, source)
        if mirror is not None:
            if given.label is None and given.columns == BY_NAME:
                continue  # `ingest` looks, once it has listed the bucket
            reflect(mirror)
        folder = Path(source.path) if mirror is None else mirror.folder
        if folder.is_dir():
            with named(mirror):
                layout = source.layout or detect(folder).layout
                explain_columns(folder, layout, settings.label, settings.columns)
            looked_at.append((folder, layout))
    if len(looked_at) == len(settings.sources):
        check_columns(looked_at, settings.columns)


def _updated(source: SourceSettings, given: Given) -> SourceSettings:
    licence = source.licence if given.licence is None else checked(given.licence, "ingest.licence")
    return source.model_copy(update={"layout": given.layout or source.layout, "licence": licence})


def _folder(path: str) -> Path:
    """The absolute folder; CorpusError when it is missing, a file, unreadable or empty."""
    folder = Path(path).expanduser().absolute()
    folder = Path(os.path.normpath(folder))
    if not folder.exists():
        siblings = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        raise CorpusError(
            f"ingest.path: {folder} does not exist{nearest(folder.name, siblings) or '; check the spelling'}"
        )
    if not folder.is_dir():
        raise CorpusError(f"ingest.path: {folder} is a file; name the folder that holds the recordings")
    try:
        first = next(iter(folder.iterdir()), None)
    except OSError as error:
        raise CorpusError(f"ingest.path: {folder} cannot be read ({error.strerror}); check its permissions") from error
    if first is None:
        raise CorpusError(f"ingest.path: {folder} is empty; name the folder that holds the recordings")
    return folder


def _unknown(paths: Paths, corpus: str) -> str:
    if not is_name(corpus):
        return f"corpus: '{corpus}' cannot be a name; use up to 40 letters, digits, - and _"
    known = known_corpora(paths.data)
    listing = f"known are {', '.join([SAMPLE, *known])}" if known else f"so far there is only the embedded {SAMPLE}"
    return (
        f"corpus '{corpus}' is not known{nearest(corpus, [SAMPLE, *known])} ({listing}). To add it, type\n"
        f"  {_how_to_add(corpus, 'FOLDER', 'LICENCE')}"
    )


def _how_to_add(corpus: str, path: str, licence: str) -> str:
    """The line that adds a corpus; `--params` is split at commas."""
    if "," in path:
        return command("allears", "add", corpus, path, "--licence", licence)
    return run_command("audit", {"corpus": corpus, "ingest.path": path, "ingest.licence": licence})
