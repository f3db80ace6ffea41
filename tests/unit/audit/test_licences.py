from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allears.audit.licences import how_to_declare, own_words, standing
from allears.corpus.licences import joined
from allears.params.audit import AuditParams, LicenceParams


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0-1.0", "allowed"),
        ("CC-BY-4.0", "allowed"),
        ("cc-by-sa-3.0", "allowed"),
        ("LicenseRef-speechocean762", "allowed"),
        ("CC-BY-NC-4.0", "denied"),
        ("CC-BY-NC-ND-4.0", "denied"),
        ("CC-BY-ND-4.0", "denied"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("GPL-3.0-only", "unknown"),
        ("CC-BY-4.0 AND CC-BY-NC-4.0", "denied"),
        ("CC-BY-4.0 OR CC-BY-NC-4.0", "allowed"),
        ("CC-BY-4.0 and GPL-3.0-only", "unknown"),
        ("(MIT OR CC-BY-NC-4.0) AND CC0-1.0", "allowed"),
        ("MIT OR CC-BY-NC-4.0 AND CC0-1.0", "allowed"),  # AND binds closer
        ("(CC-BY-NC-4.0 OR unknown) AND CC0-1.0", "unknown"),
        ("unknown AND CC0-1.0", "unknown"),
        ("unknown AND CC-BY-NC-4.0", "denied"),
        ("(MIT OR CC0-1.0) WITH LLVM-exception", "allowed"),
        ("MIT OR", "unknown"),
        ("(MIT", "unknown"),
        ("MIT CC-BY-NC-4.0", "denied"),
        ("()", "unknown"),
        ("Apache-2.0 WITH LLVM-exception", "allowed"),
        ("CC-PDM-1.0", "allowed"),
        ("CC-BY", "allowed"),
        ("CC-BY-SA AND CC0-1.0", "allowed"),
        ("CC-BY-NC", "denied"),
        ("CC-BY-ND", "denied"),
        ("CC-BY-NC-SA", "denied"),
        ("CC-BY-NC-ND AND CC0-1.0", "denied"),
        ("CC-NC", "denied"),
        ("CC-BY-5.0", "unknown"),
    ],
)
def test_standing(licence: str, expected: str) -> None:
    assert standing(licence, AuditParams().licences) == expected


NAMES = {"MIT": 0, "CC0-1.0": 0, "GPL-3.0-only": 1, "CC-BY-NC-4.0": 2}
TREES = st.recursive(
    st.sampled_from(sorted(NAMES)), lambda each: st.tuples(st.sampled_from(["AND", "OR"]), each, each), max_leaves=8
)


@settings(deadline=None)
@given(TREES)
def test_expressions_are_those_of_their_trees(tree: Any) -> None:
    def written(node: Any) -> str:
        return node if isinstance(node, str) else f"({written(node[1])} {node[0]} {written(node[2])})"

    def severity(node: Any) -> int:
        if isinstance(node, str):
            return NAMES[node]
        return (max if node[0] == "AND" else min)(severity(node[1]), severity(node[2]))

    assert standing(written(tree), LicenceParams()) == ("allowed", "unknown", "denied")[severity(tree)]


@pytest.mark.parametrize("own", [None, "MIT", "unknown", "CC-BY-NC-4.0", "MIT OR GPL-3.0-only"])
@pytest.mark.parametrize("source", [None, "MIT", "GPL-3.0-only", "CC-BY-NC-4.0", "CC0-1.0 OR CC-BY-NC-4.0"])
def test_of_a_clips_licence_and_its_sources_the_more_restrictive_wins(own: str | None, source: str | None) -> None:
    both = [each for each in (own, source) if each] or ["unknown"]
    order = ("allowed", "unknown", "denied")
    worst = max((standing(each, LicenceParams()) for each in both), key=order.index)
    assert standing(joined(own, source), LicenceParams()) == worst
    assert all(each in joined(own, source) for each in both)


def test_deny_wins_over_allow() -> None:
    assert standing("MIT", LicenceParams(allow=("*",), deny=("MIT",))) == "denied"


def test_the_line_says_what_to_type() -> None:
    line = how_to_declare("zoo", ["unknown AND CC0-1.0", "GPL-3.0-only"], LicenceParams())
    assert line.startswith("licence 'GPL-3.0-only' is in neither list")
    assert "corpus=zoo,ingest.licence=" in line
    assert "; the column licence of the clips' own table says 'unknown'" in line


def test_an_unknown_licence_is_quoted_and_what_cannot_help_is_not_advised() -> None:
    line = how_to_declare("zoo", ["unknown AND CC0-1.0"], LicenceParams(), ["my own terms"])
    assert line.startswith("column licence of the clips' own table with 'my own terms' in it is no licence")
    assert "--params" not in line  # joined with another of the source, it stays unknown
    assert "audit.licences.unknown=allow" in line


def test_the_words_of_unknown_licences_are_found_in_the_attributes() -> None:
    words = ['say "yes"', "a\nb", "x" * 100, "fourth", "fifth"]
    rows = [("unknown AND CC0-1.0", json.dumps({"mood": '"licence": "no"', "licence": each})) for each in words]
    rows = [("CC-BY-4.0", json.dumps({"licence": "CC BY 4.0"})), ("unknown", None), *rows]
    part = pd.DataFrame(rows, columns=["licence", "attributes"], dtype="string")
    assert own_words([part.head(3), part]) == ('say "yes"', "a b", "x" * 60 + "…")
    assert own_words([part.head(2)]) == ()
