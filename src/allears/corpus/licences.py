"""Licences: an SPDX expression, a `LicenseRef-…`, or 'unknown'; Creative Commons ones also as people write them:
`CC BY-NC 4.0`, `Creative Commons Attribution 3.0 Unported`, `https://creativecommons.org/licenses/by-sa/4.0/`.

SPDX has no name without a version: 'CC BY' becomes CC-BY and 'CC BY-NC' CC-BY-NC, which the lists of the audit know.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from allears.errors import ConfigError

UNKNOWN = "unknown"
_URL = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)(?:/(\d(?:\.\d)?))?(?:/([a-z]{2})\b)?[\w./#-]*"
)
_SHORT = tuple(
    (re.compile(pattern), short)
    for pattern, short in (  # in this order
        (r"[\u2010-\u2015\u2212]", "-"),
        (r"\bcreative[ _-]?commons\b", " cc "),
        (r"\bcc[ _-]*(?:0|zero)(?![\d.])", " cc zero "),
        (r"\bpublic domain mark\b", " cc mark "),
        (r"\bcc[ _-]*by", " cc by "),
        (r"\battribution", " by "),
        (r"\bnon[ _-]?commercial", " nc "),
        (r"\bno[ _-]?deriv(?:ative)?s?(?: works)?", " nd "),
        (r"\bshare[ _-]?alike", " sa "),
    )
)
_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_PARTS = ("by", "nc", "sa", "nd")  # as SPDX orders them
_IDLE = frozenset((
    "http", "https", "www", "the", "a", "v", "version", "license", "licence", "licensed", "licenced", "under", "public",
    "domain", "dedication", "universal", "international", "intl", "unported", "generic",
))  # fmt: skip


def canonical(licence: str) -> str | None:
    """The SPDX spelling of `licence`, or None when it is neither an SPDX expression nor a `LicenseRef-…`."""
    try:
        return str(canonicalize_license_expression(licence.strip()))
    except InvalidLicenseExpression:
        return None


@lru_cache(maxsize=4096)
def understood(words: str) -> str | None:
    """The spelling of an expression, or of one Creative Commons licence; None where it is neither.

    What says more than that is not understood, as it may take something back; but where NC or ND is in it, that holds.
    """
    return canonical(words) or _creative_commons(words)


def checked(licence: str, key: str) -> str:
    """The SPDX spelling; ConfigError says how to write it when there is none."""
    known = understood(licence)
    if known is None:
        raise ConfigError(
            f"{key}: '{licence}' is no SPDX licence (https://spdx.org/licenses, for example CC-BY-4.0 or CC0-1.0); "
            f"for a licence of its own write LicenseRef-NAME, for example LicenseRef-{_reference(licence)}"
        )
    return known


def joined(own: str | None, of_source: str | None) -> str:
    """What holds for a clip with a licence of its own in a source that has one: both, so the more restrictive wins.

    An expression `OWN AND SOURCE`, so that both stay visible; one of them where they are the same or one is not given.
    """
    given = list(dict.fromkeys(each for each in (own, of_source) if each))
    if len(given) < 2:
        return given[0] if given else UNKNOWN
    return " AND ".join(f"({each})" if " OR " in each.upper() else each for each in given)


def _creative_commons(text: str) -> str | None:
    plain = text.lower()
    url = _URL.search(plain)
    plain = _URL.sub(r" cc \1 \2 \3 ", plain)
    for pattern, short in _SHORT:
        plain = pattern.sub(short, plain)
    words = set(_WORD.findall(plain))
    numbers = {word for word in words if word[0].isdigit()}
    versions = {word if "." in word else f"{word}.0" for word in numbers}
    parts = [part for part in _PARTS if part in words]
    name = "-".join(("CC", *parts)).upper()
    bans = name if {"nc", "nd"} & words else None
    more = words - numbers - _IDLE - {"cc", "zero", "mark", *_PARTS}
    if "cc" not in words and ("by" not in words or more or not (versions or bans)):
        return None  # no licence of theirs; a title may stand alone: Attribution-ShareAlike 4.0
    if len(more) == 1 and (ported := canonical("-".join((name, *versions, *more)))):
        return ported  # that of one country, where SPDX has it: CC-BY-3.0-US
    if more - {url and url[3]} or len(versions) > 1:
        return bans
    if not parts and versions <= {"1.0"}:
        return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0"}.get(" ".join(words & {"zero", "mark"}))
    if "by" not in parts or words & {"zero", "mark"}:
        return bans
    return canonical("-".join((name, *versions))) or bans if versions else name


def _reference(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text).split()) or "own-terms"
