"""Versions of a corpus: every manifest that it had, what came and went with each, and which shards were made of it.

`data/02_intermediate/<corpus>/versions/<first digits of the digest>.json` is a version's record; its rows are the parts
of the manifest that it names. `data/03_primary/<corpus>/versions/` has the verdicts of each that was audited.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from allears.corpus.deliveries import manifest_of
from allears.corpus.manifest import Manifest
from allears.corpus.version import SHOWN
from allears.errors import CorpusError, nearest
from allears.frames import to_hours
from allears.params.base import Paths
from allears.storage.files import read_json, write_json
from allears.storage.tables import write_parquet

METADATA = (
    "text", "label", "language", "accent", "gender", "age", "speaker", "session", "attributes", "licence", "split",
)  # fmt: skip
_AUDIO, _WHERE = ("file_sha256", "start_s", "end_s"), ("source", "path", "member")
VERDICTS = ("clip", "verdict", "reasons", "set_aside")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Ids of clips that came, went, have other audio, lie elsewhere, or of which something else is known now."""

    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()

    def by_name(self) -> dict[str, tuple[str, ...]]:
        """`came` … `corrected` → ids."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {name: len(clips) for name, clips in self.by_name().items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One manifest. `changes` are counts against `parent`; `withdrawn`: clips that were taken out of it since;
    `shards`: digests of the shards that were made of it.
    """

    digest: str
    parent: str | None
    made_unix_s: float
    rows: int
    hours: float
    parts: tuple[str, ...]
    changes: dict[str, int]
    withdrawn: int = 0
    shards: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The name that people type."""
        return self.digest[:SHOWN]


def changes_between(before: pd.DataFrame | None, after: pd.DataFrame) -> Changes:
    """What is different in `after`; both are rows of a manifest. A clip that has other audio counts as changed only."""
    if before is None:
        return Changes(came=tuple(after["clip"]))
    was, now = before.set_index("clip"), after.set_index("clip")
    both = now.index[now.index.isin(was.index)]
    differ = {
        name: _differ(was.loc[both], now.loc[both], columns)
        for name, columns in (("changed", _AUDIO), ("moved", _WHERE), ("corrected", METADATA))
    }
    return Changes(
        came=tuple(now.index[~now.index.isin(was.index)]),
        went=tuple(was.index[~was.index.isin(now.index)]),
        changed=tuple(both[differ["changed"]]),
        moved=tuple(both[differ["moved"] & ~differ["changed"]]),
        corrected=tuple(both[differ["corrected"] & ~differ["changed"]]),
    )


def record(
    paths: Paths, manifest: Manifest, rows: pd.DataFrame, changes: dict[str, int], settings: dict[str, Any]
) -> Version:
    """Write the record of a manifest's version, before the manifest takes the place of the current one.

    The current version stays what it is, but for where its sources lie. A former one that returns (a change was undone)
    comes from the current one now; of what it was before, only the shards that were made of it stay known.
    """
    known = read(paths, manifest.digest) if _file(paths, manifest.digest).exists() else None
    now = manifest_of(paths)
    if known is not None and now is not None and now.digest == known.digest:
        same = replace(known, parts=manifest.parts)
        if same != known:
            write(paths, same)
        return same
    version = Version(
        digest=manifest.digest, parent=manifest.parent, made_unix_s=round(time.time(), 3), rows=manifest.rows,
        hours=round(to_hours(float((rows["end_s"] - rows["start_s"]).sum())), 6), parts=manifest.parts,
        changes=changes, settings=settings, shards=known.shards if known else (),
    )  # fmt: skip
    write(paths, version)
    return version


def write(paths: Paths, version: Version) -> None:
    """Replace a version's record."""
    write_json(_file(paths, version.digest), asdict(version))


def read(paths: Paths, digest: str) -> Version:
    """The record of a version."""
    value = read_json(_file(paths, digest))
    return Version(**(value | {"parts": tuple(value["parts"]), "shards": tuple(value["shards"])}))


def all_versions(paths: Paths) -> list[Version]:
    """Those that are kept, oldest first."""
    found = [read(paths, file.stem) for file in (paths.intermediate / "versions").glob("*.json")]
    return sorted(found, key=lambda version: (version.made_unix_s, version.digest))


def find(paths: Paths, name: str) -> Version:
    """The version whose digest begins with `name`. CorpusError lists those there are."""
    versions = all_versions(paths)
    found = [version for version in versions if version.digest.startswith(name)] if name else []
    if not found and name and any(digest.startswith(name) for digest in _noted_removed(paths)):
        raise CorpusError(f"corpus '{paths.corpus}': version '{name}' was removed (allears gc), and its rows with it")
    if len(found) != 1:
        names = [version.short for version in versions]
        why = "more than one version begins" if found else f"no version begins{nearest(name, names).rstrip('?')}"
        raise CorpusError(
            f"corpus '{paths.corpus}': {why} with '{name}'; there are {', '.join(names) or 'none: ingest it first'}"
        )
    return found[0]


def rows_of(paths: Paths, version: Version, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a version, without those that were withdrawn since."""
    return Manifest(paths.intermediate / "manifest", version.parts, version.rows, version.digest).frame(columns)


def current(paths: Paths) -> Version:
    """The version of the manifest that is there. CorpusError before the first ingest."""
    manifest = manifest_of(paths)
    if manifest is None:
        raise CorpusError(
            f"corpus '{paths.corpus}' has no version yet: type  kedro run --pipeline ingest --params "
            f"corpus={paths.corpus}"
        )
    if _file(paths, manifest.digest).exists():
        return read(paths, manifest.digest)
    return record(paths, manifest, manifest.frame(["start_s", "end_s"]), {}, {})  # made before there were versions


def note_shards(paths: Paths, digest: str, shards: str) -> None:
    """Note that shards were made of a version."""
    if not _file(paths, digest).exists():
        return
    version = read(paths, digest)
    if shards not in version.shards:
        write(paths, replace(version, shards=(*version.shards, shards)))


def note_removed(paths: Paths, removed: Sequence[Version]) -> None:
    """Note the digests of versions that are to be removed, and of their shards: what used them can still be found."""
    write_json(_removed_file(paths), sorted(_used_as(removed) | _noted_removed(paths)))


def removed_digests(paths: Paths) -> list[str]:
    """Digests of versions that were removed and did not come again, and of the shards that were made of them."""
    return sorted(_noted_removed(paths) - _used_as(all_versions(paths)))


def verdicts_file(paths: Paths, digest: str) -> Path:
    """Where the verdicts of a version lie, if it was audited."""
    return paths.primary / "versions" / f"{digest[:SHOWN]}.parquet"


def keep_verdicts(paths: Paths, digest: str, verdicts: pd.DataFrame) -> None:
    """Keep the verdicts of a version, so that later ones can be compared with them."""
    write_parquet(verdicts_file(paths, digest), verdicts[list(VERDICTS)])


def _used_as(found: Iterable[Version]) -> set[str]:
    return {digest for one in found for digest in (one.digest, *one.shards)}


def _noted_removed(paths: Paths) -> set[str]:
    file = _removed_file(paths)
    return set(read_json(file)) if file.exists() else set()


def _removed_file(paths: Paths) -> Path:
    return paths.intermediate / "removed_versions.json"


def _file(paths: Paths, digest: str) -> Path:
    return paths.intermediate / "versions" / f"{digest[:SHOWN]}.json"


def _differ(was: pd.DataFrame, now: pd.DataFrame, columns: Sequence[str]) -> Any:
    """Which rows differ in any of `columns`; unknown equals unknown."""
    pairs = [(was[name].astype(object).fillna(""), now[name].astype(object).fillna("")) for name in columns]
    return pd.concat([left != right for left, right in pairs], axis=1).any(axis=1).to_numpy(dtype=bool)
