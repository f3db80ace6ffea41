"""The list of measures: names and places are unique, and every definition can be written."""

from __future__ import annotations

import pytest

from allears.audit.measures import BY_NAME, MEASURES, Measure, measure_of, names_in_rows
from allears.params.audit import AuditParams


def test_names_and_rows_are_unique() -> None:
    assert len(BY_NAME) == len(MEASURES)
    rows = [measure.row for measure in MEASURES if measure.row is not None]
    assert sorted(set(rows)) == sorted(rows)
    assert names_in_rows()[:2] == ("rms_dbfs", "snr_db")


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_measure_on_the_page_has_words_and_a_definition_that_can_be_written(measure: Measure) -> None:
    assert measure.row is None or measure.words
    written = measure.definition.format(**AuditParams().measures.model_dump())
    assert "{" not in written


def test_other_columns_have_neither_words_nor_unit() -> None:
    assert measure_of("file_bytes") == Measure(name="file_bytes", origin="header", fact=False)
