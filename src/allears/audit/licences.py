"""The licence gate: SPDX names against the lists of what may be used, what may not, and all the rest.

Expressions as SPDX reads them (specification 2.3, annex D): of `A OR B` the better holds, of `A AND B` the more
restrictive, AND binds closer, `WITH exception` changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

import pandas as pd

from allears.corpus.licences import UNKNOWN
from allears.errors import ConfigError
from allears.params.audit import LicenceParams

Standing = Literal["allowed", "denied", "unknown"]
_ORDER: tuple[Standing, ...] = ("allowed", "unknown", "denied")  # from the best to the most restrictive
_WORDS = ("AND", "OR", "WITH", "(", ")")
_QUOTED, _SHOWN = 3, 60  # values of tables in a sentence, and letters of each
_OWN_WORDS = r'"licence": ("(?:[^"\\]|\\.)*")'  # in the JSON of attributes


def standing(licence: str, params: LicenceParams) -> Standing:
    """Whether audio under `licence` may be used; what is no expression is unknown, or denied where a name in it is."""
    found, rest = _either(_tokens(licence), params)
    if not rest and found is not None:
        return found
    return "denied" if "denied" in [_standing_of_name(name, params) for name in _names(licence)] else "unknown"


def check_weights(licence: str, params: LicenceParams) -> None:
    """Raise ConfigError when the weights of a public encoder may not be used under their licence."""
    match standing(licence, params):
        case "denied":
            raise ConfigError(
                f"licence {licence} is on the list of those that may not be used (audit.licences.deny): this base "
                "cannot be continued here"
            )
        case "unknown" if params.unknown == "refuse":
            raise ConfigError(
                f"licence {licence} is in neither list of audit.licences; if you may use these weights, add the name "
                "to audit.licences.allow in conf/local/parameters_audit.yml"
            )


def own_words(parts: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """The first few values of a corpus's column licence that are none, of parts with `licence` and `attributes`."""
    found: dict[str, None] = {}
    for part in parts:
        said = part.loc[part["licence"].str.contains(UNKNOWN).eq(True), "attributes"]  # null is not True
        for words in said.str.extract(_OWN_WORDS, expand=False).dropna().unique():
            shown = "".join(letter if letter.isprintable() else " " for letter in json.loads(words))
            found[shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"] = None
            if len(found) == _QUOTED:
                return tuple(found)
    return tuple(found)


def how_to_declare(corpus: str, licences: Iterable[str], params: LicenceParams, words: Iterable[str] = ()) -> str:
    """One line that says how a licence is declared, or an undeclared one allowed; names those in neither list.

    `words`: as of `own_words`.
    """
    found = {name for each in set(licences) for name in _names(each) if _standing_of_name(name, params) == "unknown"}
    lines = []
    if names := ", ".join(f"'{name}'" for name in sorted(found - {UNKNOWN})):
        lines.append(
            f"licence {names} is in neither list; if you may use this audio, add the name to audit.licences.allow, or "
            "say which other licence it has (LICENCE: an SPDX name or LicenseRef-yours): for a source --params "
            f"corpus={corpus},ingest.licence=LICENCE, for single clips in the column licence of their table"
        )
    if UNKNOWN in found:
        quoted = ", ".join(f"'{each}'" for each in words)
        what = f"with {quoted} in it is no licence that allears knows" if quoted else f"says '{UNKNOWN}'"
        lines.append(
            f"column licence of the clips' own table {what}; if you may use this audio, write there under what (an "
            "SPDX name such as CC-BY-4.0, or LicenseRef-yours) and run again (ingest.licence, of the whole source, "
            "does not replace it: both hold), or set audit.licences.unknown=allow"
        )
    return "; the ".join(lines)


def _tokens(licence: str) -> list[str]:
    plain = re.sub(r"\s+WITH\s+[^\s()]+", "", licence, flags=re.IGNORECASE)
    return re.findall(r"[()]|[^\s()]+", plain)


def _names(licence: str) -> list[str]:
    return [token for token in _tokens(licence) if token.upper() not in _WORDS]


def _either(tokens: list[str], params: LicenceParams) -> tuple[Standing | None, list[str]]:
    """The standing of `A OR B …` at the head of `tokens`, and what follows it; None: there is none."""
    best, rest = _both(tokens, params)
    while best is not None and rest and rest[0].upper() == "OR":
        other, rest = _both(rest[1:], params)
        best = other and min(best, other, key=_ORDER.index)
    return best, rest


def _both(tokens: list[str], params: LicenceParams) -> tuple[Standing | None, list[str]]:
    worst, rest = _one(tokens, params)
    while worst is not None and rest and rest[0].upper() == "AND":
        other, rest = _one(rest[1:], params)
        worst = other and max(worst, other, key=_ORDER.index)
    return worst, rest


def _one(tokens: list[str], params: LicenceParams) -> tuple[Standing | None, list[str]]:
    if not tokens or tokens[0].upper() in ("AND", "OR", ")"):
        return None, tokens
    if tokens[0] != "(":
        return _standing_of_name(tokens[0], params), tokens[1:]
    inner, rest = _either(tokens[1:], params)
    return (inner, rest[1:]) if rest and rest[0] == ")" else (None, rest)


def _standing_of_name(name: str, params: LicenceParams) -> Standing:
    lowered = name.lower()
    if any(fnmatchcase(lowered, pattern.lower()) for pattern in params.deny):
        return "denied"
    if any(fnmatchcase(lowered, pattern.lower()) for pattern in params.allow):
        return "allowed"
    return "unknown"
