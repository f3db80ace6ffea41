"""Licences: an SPDX expression, a `LicenseRef-…`, or 'unknown'."""

from __future__ import annotations

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from allears.errors import ConfigError

UNKNOWN = "unknown"


def canonical(licence: str) -> str | None:
    """The SPDX spelling of `licence`, or None when it is neither an SPDX expression nor a `LicenseRef-…`."""
    try:
        return str(canonicalize_license_expression(licence.strip()))
    except InvalidLicenseExpression:
        return None


def checked(licence: str, key: str) -> str:
    """The SPDX spelling; ConfigError says how to write it when there is none."""
    known = canonical(licence)
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


def _reference(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text).split()) or "own-terms"
