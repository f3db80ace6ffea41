from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allears.audit.targets import Target, read
from allears.errors import CorpusError
from allears.params.audit import AuditParams


def written(folder: Path, text: str, name: str = "census.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_table_holds_several_axes_and_people_or_per_cent_will_do(tmp_path: Path) -> None:
    path = written(
        tmp_path, "axis,cell,share\ngender,female,510\ngender,male,490\ngender,unknown,77\nage,20-29,1\nage, teens ,3\n"
    )
    assert read(path, "gender") == Target("census.csv", {"female": 0.51, "male": 0.49})
    assert read(path, "age").shares == {"20–29": 0.25, "teens": 0.75}


def test_crossed_cells_as_people_type_them(tmp_path: Path) -> None:
    path = written(
        tmp_path, "share,axis,cell,source\n1,gender x age,female x 20-29,office\n1,gender × age,male × 20–29,\n"
    )
    assert read(path, "gender × age").shares == {"female × 20–29": 0.5, "male × 20–29": 0.5}


def test_uniform_is_over_the_groups_there_are() -> None:
    target = read("uniform", "gender")
    cells = target.cells(["male", "female", "unknown"])
    assert cells == ["female", "male"]
    np.testing.assert_allclose(target.wanted(cells), [0.5, 0.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axis,cell\ngender,female\n", "column share is missing; expected axis, cell, share, found axis, cell"),
        ("axis,cell,share\nage,teens,1\n", "no row for the axis 'gender'"),
        ("axis,cell,share\ngender,female,1\ngender,male,many\n", "line 3: the share of 'male' is 'many'"),
        ("axis,cell,share\ngender,female,-1\n", "'-1'; expected a number"),
        ("axis,cell,share\ngender,female,inf\n", "'inf'; expected a number"),
        ("axis,cell,share\ngender,female,\n", "''; expected a number"),
        ("axis,cell,share\ngender,female,1\ngender,female,1\n", "line 3: 'female' is there twice"),
        ("axis,cell,share\ngender,female,0\n", "add up to 0"),
        ("", "no CSV"),
    ],
)
def test_a_wrong_table_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(written(tmp_path, text), "gender")


def test_a_table_that_is_not_there_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file\. Expected 'uniform' or the path of a CSV"):
        read(str(tmp_path / "none.csv"), "gender")
    (tmp_path / "binary.csv").write_bytes(b"axis,cell,share\n\xff\xfe,\x00\n")
    with pytest.raises(CorpusError, match="no CSV in UTF-8"):
        read(str(tmp_path / "binary.csv"), "gender")


def test_targets_are_of_axes_and_curation_needs_one() -> None:
    crossed = AuditParams.model_validate({"representation": {"target": {"gender × age": "uniform"}}})
    assert crossed.representation.target == {"gender × age": "uniform"}
    with pytest.raises(ValueError, match="'sex' is no axis; valid are language"):
        AuditParams.model_validate({"representation": {"target": {"sex": "uniform"}}})
    with pytest.raises(ValueError, match=r"needs audit\.curation\.axis"):
        AuditParams.model_validate({"curation": {"target": "uniform"}})
