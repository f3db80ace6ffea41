import re

from hypothesis import given
from hypothesis import strategies as st

from allears.corpus.clips import clip_id


@given(st.text(max_size=120), st.text(max_size=120))
def test_ids_fit_into_tars_and_schemas(name: str, path: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", clip_id("s", name, path, None, None, None))


def test_the_same_name_in_two_folders_is_two_clips() -> None:
    ids = {
        clip_id("s", "a/1.wav", "a/1.wav", None, None, None),
        clip_id("s", "b/1.wav", "b/1.wav", None, None, None),
        clip_id("t", "b/1.wav", "b/1.wav", None, None, None),
        clip_id("s", "b/1.wav", "b/1.wav", 1, None, None),
        clip_id("s", "b/1.wav", "b/1.wav", None, 0.0, 1.0),
        clip_id("s", "b/1.wav", "b/1.wav", None, 0.0, 2.0),
    }
    assert len(ids) == 6
    assert all(name.startswith("1-") for name in ids)


def test_an_id_is_pinned() -> None:
    assert clip_id("so762", "000010011", "audio/000010011.opus", None, None, None) == "000010011-3d73a5a103"
