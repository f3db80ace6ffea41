from __future__ import annotations

import json
from pathlib import Path

import pytest

from allears.corpus import versions
from allears.corpus.build import write_manifest
from allears.corpus.deliveries import Before, before_of, keep_carved, seconds_of
from allears.corpus.manifest import PLACES
from allears.corpus.waste import remove, unused
from allears.errors import CorpusError
from allears.params.base import Paths
from allears.storage.files import write_json
from tests.unit.corpus.test_deliveries import World


def save(paths: Paths, files: dict[str, tuple[int, float]]) -> str:
    """The next version of a corpus of these files, as the ingest node leaves it; its digest."""
    before = before_of(paths)
    table = World(files).build(before).clips
    earlier = before.deliveries if before else ()
    parent = versions.current(paths).digest if before else None
    keep_carved(paths, before, table)
    made = write_manifest(table, paths.intermediate / "manifest", seconds_of(table, earlier), parent)
    changes = versions.changes_between(before.clips if before else None, table).counts()
    versions.record(paths, made, table, changes, {})
    write_json(paths.intermediate / "manifest.json", made.to_json())
    return made.digest


def test_versions_are_found_by_their_first_digits(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path)
    with pytest.raises(CorpusError, match=r"has no version yet: type  kedro run --pipeline ingest"):
        versions.current(paths)
    first = save(paths, {"a.wav": (1, 2.0)})
    second = save(paths, {"a.wav": (1, 2.0), "b.wav": (2, 2.0)})
    assert [one.digest for one in versions.all_versions(paths)] == [first, second]
    assert versions.find(paths, second[:7]) == versions.current(paths)
    assert versions.current(paths).parent == first
    assert versions.current(paths).changes["came"] == 1
    with pytest.raises(CorpusError, match=rf"no version begins .*with 'zzz'; there are {first[:12]}, {second[:12]}"):
        versions.find(paths, "zzz")


def test_a_version_that_returns_comes_from_the_one_before_it(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path)
    one, two, three = ({f"{name}.wav": (i, 2.0) for i, name in enumerate(names)} for names in ("a", "ab", "abc"))
    first, second = save(paths, one), save(paths, two)
    versions.note_shards(paths, second, "shards")
    third = save(paths, three)
    assert save(paths, two) == second
    now = versions.current(paths)
    assert (now.digest, now.parent, now.shards) == (second, third, ("shards",))
    assert now.changes == versions.Changes(went=("c",)).counts()
    assert [each.digest for each in versions.all_versions(paths)] == [first, third, second]
    assert save(paths, one) == first
    assert versions.current(paths).parent == second


def test_the_current_version_stays_what_it_is_wherever_its_sources_lie(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path)
    first, second = save(paths, {"a.wav": (1, 2.0)}), save(paths, {"a.wav": (1, 2.0), "b.wav": (2, 2.0)})
    was = versions.current(paths)
    table = versions.rows_of(paths, was)
    made = write_manifest(table.assign(root="/moved"), paths.intermediate / "manifest", None, first)
    again = versions.record(paths, made, table, {}, {"splits": "others"})
    assert (again.digest, again.parent, again.made_unix_s, again.changes) == (
        second, first, was.made_unix_s, was.changes,
    )  # fmt: skip
    assert set(versions.rows_of(paths, versions.find(paths, second))["root"]) == {"/moved"}


def test_waste_is_what_neither_the_corpus_nor_shards_use(tmp_path: Path) -> None:
    paths = Paths(corpus="mine", data=tmp_path)
    digests = [save(paths, {f"{name}.wav": (i, 2.0) for i, name in enumerate("abc"[: n + 1])}) for n in range(3)]
    versions.note_shards(paths, digests[0], "old shards")
    (paths.primary / "verdicts.parquet").parent.mkdir(parents=True)
    (paths.primary / ".verdicts.parquet.0a.tmp").write_text("half")
    found = unused(paths, {"old shards"})
    assert {one.path.name for one in found} == {f"{digests[1][:12]}.json", ".verdicts.parquet.0a.tmp"}
    found = unused(paths, {"other shards"})
    assert {f"{one[:12]}.json" for one in digests[:2]} <= {one.path.name for one in found}
    kept = set(json.loads((paths.intermediate / "manifest.json").read_text())["parts"])
    assert not kept & {one.path.name for one in found}
    remove(paths, found)
    assert [one.digest for one in versions.all_versions(paths)] == digests[2:]
    assert versions.removed_digests(paths) == sorted([*digests[:2], "old shards"])
    assert not any(one.path.exists() for one in found)
    with pytest.raises(CorpusError, match="was removed"):
        versions.find(paths, digests[1][:8])
    save(paths, {"a.wav": (0, 2.0), "b.wav": (1, 2.0)})  # as the second one was
    assert versions.removed_digests(paths) == sorted([digests[0], "old shards"])


def test_a_manifest_without_deliveries_is_one_delivery(tmp_path: Path) -> None:
    """As an earlier allears wrote it: nothing moves, no split changes."""
    paths = Paths(corpus="mine", data=tmp_path)
    files = {f"{name}0.wav": (i, 2.0 + i) for i, name in enumerate("abcdef")}
    table = World(files).build(None).clips
    made = write_manifest(table, paths.intermediate / "manifest")
    part = paths.intermediate / "manifest" / made.parts[0]
    table.drop(columns=list(PLACES)).to_parquet(part)
    handle = made.to_json()
    del handle["deliveries"], handle["parent"]
    write_json(paths.intermediate / "manifest.json", handle)
    before = before_of(paths)
    assert isinstance(before, Before)
    grown = World(files | {"g0.wav": (9, 1.0)}).build(before).clips
    same = ["clip", "split", "delivery", "place_s"]
    assert grown[same].iloc[:-1].equals(table[same])
    assert grown["delivery"].iloc[-1] == 1
