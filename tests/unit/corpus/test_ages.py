import pytest

from allears.corpus.ages import age_band


@pytest.mark.parametrize(
    ("age", "band"), [("23", "20–29"), ("8.0", "0–9"), ("twenties", "twenties"), ("inf", "inf"), (None, None)]
)
def test_age_bands(age: str | None, band: str | None) -> None:
    assert age_band(age) == band
