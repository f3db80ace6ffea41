"""Blocks of strings against Python's own lists."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allears.shards.strings import Digests, Strings

TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12), max_size=30)


@dataclass(frozen=True)
class Cut:
    """How a column is chunked, and which part of it is looked at."""

    chunk: int
    first: int


@given(TEXTS, st.builds(Cut, st.integers(1, 7), st.integers(0, 5)))
def test_strings_of_a_column_are_those_of_a_list(texts: list[str], cut: Cut) -> None:
    """However Arrow cut it into chunks, and wherever a slice of it begins."""
    chunks = [texts[at : at + cut.chunk] for at in range(0, len(texts), cut.chunk)]
    column = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string()).slice(cut.first)
    kept = texts[cut.first :]
    strings = Strings.of(column)
    assert list(strings) == kept
    assert len(strings) == len(kept)
    assert [strings[place] for place in range(len(kept))] == kept
    assert strings == Strings.of(kept) or not kept or max(map(len, kept)) == 0
    assert list(strings[1:3]) == kept[1:3]


@given(st.lists(st.text("ab-é", min_size=1, max_size=4), max_size=40, unique=True), st.text("ab-é", max_size=5))
def test_places_are_those_of_a_dict(texts: list[str], other: str) -> None:
    """Each is found at its place, another is not found."""
    known = {text: place for place, text in enumerate(texts)}
    places = Strings.of(texts).places
    assert {text: places[text] for text in texts} == known
    assert places.get(other) == known.get(other)
    assert (other in places) == (other in known)


def test_digests_come_back() -> None:
    """In hexadecimal, from a column or a list, one by one or as a part."""
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(200)]
    found = Digests.of(pa.chunked_array([digests[:70], digests[70:]]))
    assert list(found) == digests
    assert found == Digests.of(digests)
    assert found != Digests.of(digests[::-1])
    assert list(found[3:9]) == digests[3:9]


def test_what_is_no_digest_is_refused() -> None:
    """An index that a stranger wrote."""
    with pytest.raises(ValueError, match="64 digits, found 3"):
        Digests.of(["abc"])
