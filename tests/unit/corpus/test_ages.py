import pytest

from allears.corpus.ages import age_band


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("23", "20–29"),
        ("8.0", "0–9"),
        ("0", "0–9"),
        ("120", "120–129"),
        ("twenties", "twenties"),
        (None, None),
        ("-1", None),
        ("-0.5", None),
        ("121", None),
        ("1985", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_age_bands(age: str | None, band: str | None) -> None:
    assert age_band(age) == band
