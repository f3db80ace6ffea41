"""The licence gate: SPDX names against the lists of what may be used, what may not, and all the rest.

Expressions: of `A OR B` the better holds, of `A AND B` the more restrictive; with brackets, or both words at once, the
most restrictive of all names holds. `WITH exception` changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from allears.params.audit import LicenceParams

Standing = Literal["allowed", "denied", "unknown"]
_SEVERITY: dict[Standing, int] = {"allowed": 0, "unknown": 1, "denied": 2}


def standing(licence: str, params: LicenceParams) -> Standing:
    """Whether audio under `licence` may be used."""
    text = licence.strip()
    plain = re.sub(r"\s+WITH\s+\S+", "", text, flags=re.IGNORECASE)
    names = [name for name in re.split(r"\s+(?:AND|OR)\s+|[()]", plain, flags=re.IGNORECASE) if name.strip()]
    standings = [_standing_of_name(name.strip(), params) for name in names] or ["unknown"]
    either = re.search(r"\sOR\s", plain, re.IGNORECASE) and not re.search(r"\sAND\s|[()]", plain, re.IGNORECASE)
    return (min if either else max)(standings, key=_SEVERITY.__getitem__)


def how_to_declare(corpus: str, licences: Iterable[str]) -> str:
    """One line that says how a licence is declared, or an undeclared one allowed."""
    names = ", ".join(f"'{name}'" for name in sorted(set(licences)))
    return (
        f"licence {names} is in neither list; if you may use this audio, say under what: "
        f"--params corpus={corpus},ingest.licence=<SPDX name or LicenseRef-yours>, or add the name to "
        "audit.licences.allow, or set audit.licences.unknown=allow"
    )


def _standing_of_name(name: str, params: LicenceParams) -> Standing:
    lowered = name.lower()
    if any(fnmatchcase(lowered, pattern.lower()) for pattern in params.deny):
        return "denied"
    if any(fnmatchcase(lowered, pattern.lower()) for pattern in params.allow):
        return "allowed"
    return "unknown"
