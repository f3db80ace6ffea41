from __future__ import annotations

import pytest

from allears.audit.licences import how_to_declare, standing
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
        ("(MIT OR CC-BY-NC-4.0) AND CC0-1.0", "denied"),
        ("Apache-2.0 WITH LLVM-exception", "allowed"),
    ],
)
def test_standing(licence: str, expected: str) -> None:
    assert standing(licence, AuditParams().licences) == expected


def test_deny_wins_over_allow() -> None:
    assert standing("MIT", LicenceParams(allow=("*",), deny=("MIT",))) == "denied"


def test_the_line_says_what_to_type() -> None:
    line = how_to_declare("zoo", ["unknown", "GPL-3.0-only"])
    assert "corpus=zoo,ingest.licence=" in line
    assert "'GPL-3.0-only'" in line
