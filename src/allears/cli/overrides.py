"""`allears keep` and `allears drop`: a person's word about one clip, written where the next audit reads it."""

from __future__ import annotations

from allears.audit import overrides
from allears.corpus.manifest import Manifest
from allears.errors import CorpusError, nearest
from allears.params.base import Paths
from allears.storage.files import read_json
from allears.tracking.user import user

MAX_SHOWN = 5


def decide(paths: Paths, clip: str, decision: str, why: str, who: str | None) -> str:
    """Append the decision on a clip, named by its id or its path, and say what happens next.

    Raises CorpusError when the corpus was not ingested yet and when no clip, or more than one, is called so.
    """
    found = _clip(paths, clip)
    file = paths.raw / overrides.NAME
    said = overrides.Decision(
        clip=found, decision=decision, why=" ".join(why.split()), who=who or user(), date=overrides.today()
    )
    overrides.append(file, said)
    return (
        f"{found}: {decision} ({said.why}), written to {file}. The next audit follows it:\n"
        f"  kedro run --pipeline audit --params corpus={paths.corpus}"
    )


def _clip(paths: Paths, name: str) -> str:
    handle = paths.intermediate / "manifest.json"
    if not handle.exists():
        command = f"kedro run --pipeline ingest --params corpus={paths.corpus}"
        raise CorpusError(f"corpus '{paths.corpus}' has no manifest yet; type {command}")
    table = Manifest.from_json(read_json(handle)).frame(["clip", "path"])
    if (table["clip"] == name).any():
        return name
    there = table.loc[table["path"] == name, "clip"].tolist()
    if len(there) == 1:
        return str(there[0])
    if there:
        raise CorpusError(f"'{name}' holds {len(there)} clips; name one of them: {', '.join(there[:MAX_SHOWN])}")
    names = [*table["path"], *table["clip"]]
    raise CorpusError(f"'{name}' is no clip and no file of corpus '{paths.corpus}'{nearest(name, names)}")
